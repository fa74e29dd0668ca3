"""Delivery: sends what a publication holds to another database, whole or not at all.

In: a publication's file, which never changes, and the target's own tables, which say what it has. Out: one transaction
in the target, or one swap of staging tables, with the tables and the strategy-months that differ. It touches the
target, and in the ledger a fact with the ids of the last deliveries.

    relations    what a publication holds: its relations, their columns and keys
    contents     which months each relation has, and which state each month is in
    difference   what a target lacks, from both: no I/O
    state        what a target says that it has
    dialect      how a target spells names, texts and times
    session      the SQL that all targets share; postgres, sqlite and duckdb_file have the rest
    planned      what targets whose transactions change rows alone share; bigquery and snowflake have the rest
    databricks   one row that shows a delivery in views, with databricks_layout, databricks_lock, databricks_connection
    staged       what targets without transactions over several tables share; clickhouse has the rest
    holder       who holds a lock that outlives its delivery
    deliver      the function that does it all
"""
