"""Asset checks that come with a sync: `jobs` about jobs that were not loaded, `rows` about the results.

In: the ledger, the lake and the sync's report. Out: check specs and check results.
"""
