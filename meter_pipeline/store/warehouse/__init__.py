"""The warehouse: the DuckDB file that people open, built beside the old one and published atomically.

Comes in: the ledger and the lake. Goes out: a published file and its history. Touches `warehouse.duckdb` and
`publications/` in the data folder, and runs dbt; callers use `build.publish` and `build.reading`.
"""
