"""Finds out what is new at Meter.

Comes in: the client, the ledger, the webhook inbox. Goes out: rows of the ledger for every strategy, schedule and job
(`listing`), change sets that were peeked and are acknowledged later (`change_sets`), reported jobs (`webhooks`),
schedules that ran (`polling`). Touches the API and the ledger, never the lake.
"""
