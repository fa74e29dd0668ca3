"""The audit: is what a job brought data, or a broken scrape?

Comes in: facts about a job (`rules.Evidence`), its items (`profiler`), and the profiles and verdicts of the jobs before
it (`baseline.PastJob`). Goes out: a reason to hold the job (`rules.audit`), its profile (`profile.JobProfile`), and a
verdict with findings (`verdict.judge`). Touches nothing: pure functions, and memories of items that a load keeps.
"""
