"""Asset checks that come with a sync: about jobs that were not loaded (`jobs`), about strategies that other
processes hold (`claims`), about the results (`rows`), and about the keys of items (`keys`).

In: the ledger, the lake and the sync's report. Out: check specs and check results.
"""
