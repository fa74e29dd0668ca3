"""Recognises prices, dates and other values in the texts of a field.

Comes in: the distinct texts of one field of one strategy. Goes out: facts that are kept between loads, how the field is
read, and typed columns. Touches nothing: these are pure functions.

A field goes through four modules: `facts` sums up its texts and adds that to what is kept, `deciding` says how they are
read, `recognition` gives the typed columns, and `names` their names. `finding` says what one text is by itself, with
the help of `money`, `dates`, `relative` and `quantities`.
"""
