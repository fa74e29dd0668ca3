"""Spells slugs for asset keys and names of dbt models, in which Dagster accepts only ASCII.

New slugs are ASCII, but a slug never changes, and slugs in old ledgers can hold other letters. Each such letter is
spelled as `__u<code point>__`, in hexadecimal digits.
"""

from __future__ import annotations

import re

_ODD = re.compile(r"[^A-Za-z0-9_]")
_SPELLED = re.compile(r"__u([0-9a-f]+)__")


def spell_slug(slug: str) -> str:
    """Spells a slug in `A-Z`, `a-z`, `0-9` and `_`; a slug of only these characters is unchanged."""
    return _ODD.sub(lambda match: f"__u{ord(match[0]):x}__", slug)


def parse_slug(name: str) -> str:
    """Returns the slug that `spell_slug` spelled."""
    return _SPELLED.sub(lambda match: chr(int(match[1], 16)), name)
