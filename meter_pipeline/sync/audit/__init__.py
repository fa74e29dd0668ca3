"""The audit: is what a job brought data, or a broken scrape?

Comes in: facts about a job (`rules.Evidence`). Goes out: a reason to hold the job, or None. Touches nothing: pure
functions.
"""
