"""What an item is: its rules, its key, its hash, its typed columns.

Comes in: items as JSON bytes, and a strategy's item rules. Goes out: distinct texts (`texts`), keys and hashes
(`identity`), Arrow columns (`results`, `raw`), the key that the jobs support (`keys`, from `samples`, `evidence` and
`candidates`), what changed inside arrays (`elements`), and which copies and pages belong together (`repeats`, `pages`).
Touches the lake only to rewrite
`results`.
"""
