"""Makes text safe and readable: control characters, nesting, durations, names of assets.

Comes in: text and values from the API. Goes out: text that is safe on a terminal, in a log and in Dagster. Touches
nothing: pure functions.
"""
