"""The ledger: the database that records what exists at Meter and what counts here.

Comes in: records of the API and outcomes of loads. Goes out: frozen rows (`rows`), claims, change sets, Meter's
comparisons. Touches one database, SQLite or PostgreSQL, through SQLAlchemy. Callers use
`ledger.Ledger`, `change_sets.Unseen` and `comparisons.Verdicts`.
"""
