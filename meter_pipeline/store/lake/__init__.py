"""The lake: Parquet files with the rows, in a folder or an object store.

Comes in: Arrow tables of whole jobs. Goes out: Arrow tables and record batches. Touches files below the lake's folder
or URL; callers use `lake.Lake`. Knows nothing of jobs' states.
"""
