"""Metadata for the pages of assets: entries, columns, column lineage, latest changes, charts, origin of the data.

In: the ledger, the lake, the published warehouse and the sync's report, read-only. Out: values that the UI draws.
"""
