"""Loads jobs: from their bodies at Meter to committed rows.

Comes in: jobs that wait, by strategy. Goes out: rows of the lake, states in the ledger, a `StrategyReport` for each
strategy. Touches the API for bodies (`fetch`), the lake and the ledger, under a strategy's claim.

`loader.StrategyLoader` takes a batch through the steps: read (`job`), write rows (`rows`), find a key (`key_search`),
decide what became of each job (`outcomes`) and commit it (`updates`). `writers` runs loaders side by side, `recovery`
puts right what a killed load left, `release` accepts held jobs by hand, and `rebuild` writes rows under other rules.
"""
