"""The states of a job in the ledger, in a module of their own that imports nothing; `ledger` explains them."""

STATES = ("known", "accepted", "held", "failed", "unreadable", "dropped")
