"""Recognises prices, dates and other values in the texts of a field.

Comes in: the distinct texts of one field of one strategy. Goes out: facts that are kept between loads, how the field is
read, and typed columns. Touches nothing: these are pure functions.

`recognition` is the way in: `observe` sums up texts, `merge` adds facts to those kept, `decide` says how the field is
read, `read` gives the columns, and `names` their names. `finding` says what one text is by itself, with the help of
`money`, `dates`, `relative` and `quantities`.
"""
