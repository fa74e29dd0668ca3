"""What is kept: the ledger says what there is and in what state, the lake holds the rows, the warehouse is read.

Import from the modules: `store.ledger.Ledger`, `store.lake.Lake`, `store.warehouse.publish`. Nothing is imported here,
since the lake alone brings in Arrow, and definitions that only need an error's name shall load without it.
"""
