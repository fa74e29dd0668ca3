"""The states of a job in the ledger, apart from it so that naming them imports nothing: see `store.ledger`."""

STATES = ("known", "landed", "accepted", "held", "failed", "unreadable")
