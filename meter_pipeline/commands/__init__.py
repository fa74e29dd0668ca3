"""The commands of `meter-pipeline`: `commands/<name>.py` holds the command of that name and its work.

Comes in: arguments. Goes out: lines, tables, one JSON document or a page. Touches everything below by way of
`connect`; imports heavy parts inside the functions, so that every command starts quickly.

What commands share: `console` and `tables` print, `options` and `usage` define and parse options, `lookup` finds what
an argument names, `complete` serves the Tab key, `local_sandbox` runs a sandbox beside a command, and `reference`
writes the documentation of all commands. `meter_pipeline.cli` wires the commands together.
"""
