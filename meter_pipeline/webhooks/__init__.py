"""Meter's webhooks: a receiver that keeps what is reported, and the inbox in which it is kept.

Comes in: HTTP requests. Goes out: small files, one for each reported job, until a sync has dealt with it. Touches the
inbox folder only; `receiver.serve` and `inbox.Inbox` are the ways in.
"""
