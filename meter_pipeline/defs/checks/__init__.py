"""Asset checks that come with a sync: about jobs that were not loaded (`jobs`), about strategies that other
processes hold (`claims`), and about the results (`rows`).

In: the ledger, the lake and the sync's report. Out: check specs and check results.
"""
