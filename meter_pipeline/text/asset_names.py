"""Slugs as parts of asset keys and of dbt models' names, which Dagster takes in ASCII alone.

Slugs are made of ASCII, but a slug never changes, and those in old ledgers can hold other letters. Each of these is
spelt as `__u<code point>__`, in hexadecimal digits.
"""

from __future__ import annotations

import re

_ODD = re.compile(r"[^A-Za-z0-9_]")
_SPELT = re.compile(r"__u([0-9a-f]+)__")


def spell_slug(slug: str) -> str:
    """The slug in `A-Z`, `a-z`, `0-9` and `_` alone; one that is made of these stays as it is."""
    return _ODD.sub(lambda odd: f"__u{ord(odd[0]):x}__", slug)


def parse_slug(name: str) -> str:
    """The inverse of `spell_slug`."""
    return _SPELT.sub(lambda spelt: chr(int(spelt[1], 16)), name)
