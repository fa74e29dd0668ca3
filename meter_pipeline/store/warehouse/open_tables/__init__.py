"""Open tables: the lake as Iceberg tables, for engines that read those, such as Spark, Trino, ClickHouse and Snowflake.

What comes in: the publication that people read, and the ledger's manifest, which says which parts it shows. What goes
out: in a catalog, one snapshot of each table whose parts differ, with exactly the parts that came and went. Parts stay
where they are and are never written; a pin in the ledger keeps them as long as a snapshot refers to them.

`meter.raw` and `meter.changes` have the rows of all strategies, `results.<slug>` those of one.
"""
