"""Receives Meter's webhooks and stores the ids of the reported jobs until a sync has loaded them.

Comes in: HTTP requests. Goes out: small files in a folder, one for each reported job. Touches the inbox folder only.
Use `receiver.serve` to run the receiver and `inbox.Inbox` to read what it stored.
"""
