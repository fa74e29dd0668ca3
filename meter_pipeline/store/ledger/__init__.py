"""The ledger: the database that says what exists at Meter and what counts here.

Comes in: records of the API and outcomes of loads. Goes out: frozen rows (`rows`), claims, change sets, Meter's
comparisons. Touches one database, SQLite or PostgreSQL, through SQLAlchemy; `ledger.Ledger` is the way in.
"""
