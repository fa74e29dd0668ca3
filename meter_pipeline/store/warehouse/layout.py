"""The version of what a publication holds besides the models: its tables, views and macros."""

from __future__ import annotations

#: Raise it when a table, view or macro of the warehouse holds something else than before under the same name. Tables
#: that are built incrementally are then built in full once, since what they carry on was made from the old layout.
LAYOUT = 1
