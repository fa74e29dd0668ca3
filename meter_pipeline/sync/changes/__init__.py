"""What changed from one accepted job of a target to the next.

Comes in: pairs of jobs with keyed and hashed items. Goes out: rows of `changes`, by comparison in memory
(`in_memory`) or on disk (`on_disk`). Reads and writes the lake; `feed.Feed` is the entry.
"""
