"""The tests of the audit, a family a module. Each takes a `Baseline` and yields what it found; none knows another.

Comes in: a job's profile beside those before it (`baseline.Baseline`). Goes out: findings. Touches nothing.
"""
