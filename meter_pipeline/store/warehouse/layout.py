"""The version of a publication's own tables and views, all that it holds besides the models."""

from __future__ import annotations

#: Raise it when a table or view of the warehouse gets another meaning under the same name. Incremental tables
#: are then built in full once, since the rows that they would carry on were made from the old layout.
LAYOUT = 6

#: A digest of the columns and views of layout `LAYOUT`. A test compares it with those that a warehouse gets, so
#: that none of them changes without a new layout; the test's message has the new value.
FINGERPRINT = "37c9fb65d123bd662634"
