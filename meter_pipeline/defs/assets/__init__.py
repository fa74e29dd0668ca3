"""The assets and the steps that fill them: one that syncs, one that compares jobs, one that publishes.

In: the run's selection and configuration. Out: materialisations and check results. It calls the engine and may use all
other rooms of `defs`.
"""
