"""Finds out what is new at Meter.

Comes in: the client, the ledger, the webhook inbox. Goes out: rows of the ledger for every strategy, schedule and job
(`listing`), change sets that are peeked now and acknowledged later (`change_sets`, `entries`), jobs that webhooks
reported (`webhooks`), schedules that are due (`polling`), a count of unseen changes (`marking`). Touches the API and
the ledger, never the lake.
"""
