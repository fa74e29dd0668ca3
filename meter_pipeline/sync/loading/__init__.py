"""Loads jobs: from their bodies at Meter to committed rows.

Comes in: jobs that wait, by strategy. Goes out: rows of the lake, states in the ledger, a `StrategyReport` for each
strategy. Touches the API for bodies (`fetch`), the lake and the ledger, under a strategy's claim; `loader.Load` does
the work, `release` and `rebuild` do it again by hand.
"""
