"""The version of a publication's own tables, views and macros, all that it holds besides the models."""

from __future__ import annotations

#: Raise it when a table, view or macro of the warehouse gets another meaning under the same name. Incremental tables
#: are then built in full once, since the rows that they would carry on were made from the old layout.
LAYOUT = 4

#: A digest of the columns, views and macros of layout `LAYOUT`. A test compares it with those that a warehouse gets, so
#: that none of them changes without a new layout; the test's message has the new value.
FINGERPRINT = "ae8e392d8a5f3090b650"
