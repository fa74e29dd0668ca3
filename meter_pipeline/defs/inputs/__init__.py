"""Tables of the lake as inputs of your own assets: the IO manager, the types it loads, the partitions it reads.

In: an input's annotation and partitions. Out: the rows, as that type.
"""
