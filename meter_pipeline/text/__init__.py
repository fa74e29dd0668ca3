"""Makes text safe and readable: control characters, nesting, durations, names of assets.

Comes in: text and values from the API. Goes out: text that a terminal, a log or Dagster can take. Touches nothing:
pure functions.
"""
