"""What an item is: its rules, its key, its hash, its typed columns.

Comes in: items as JSON bytes, and a strategy's item rules. Goes out: distinct texts (`texts`), keys and hashes
(`identity`), Arrow columns (`results`, `raw`), candidates for a key (`keys`). Touches the lake only to rewrite
`results`.
"""
