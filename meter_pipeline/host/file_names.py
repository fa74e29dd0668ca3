"""File names made from text that others chose, such as an id from the API: the only place where that is done.

Such text may hold slashes, dots, control characters, be as long as it likes, or differ from another one in case alone.
No path in this repository has text from the API in it other than by way of `make_file_name`, or as a slug (letters,
digits and underscores).
"""

from __future__ import annotations

import hashlib
import re

# A lower-case UUID is its own file name. Capitals are none: some disks take `A` and `a` for the same.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,99}")
_OTHERS = re.compile(r"[^a-z0-9]+")
# Names that Windows keeps for devices, whatever the ending.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
_READABLE = 40


def make_file_name(text: str, ending: str = "") -> str:
    """The name of a file, without any folder, that stands for a text: different ones for different texts.

    Plain texts (up to 100 lower-case letters, digits, `-` and `_`) are their own names. Of others the name begins with
    what is readable, and a digest follows after a dot, which no plain text has: neither kind can be mistaken for the
    other.

    Args:
        text: Any text.
        ending: What the name ends in, such as `.json`.

    Returns:
        At most 100 characters and the ending, ASCII; never hidden, never `.` or `..`.

    Example:
        >>> make_file_name("3f0c5a5e-7b0e-4c55-9a1f-2d1f0b7b6a10", ".body")
        '3f0c5a5e-7b0e-4c55-9a1f-2d1f0b7b6a10.body'
        >>> make_file_name("../../etc/passwd")
        'etc_passwd.3754d6cb3a38e1185e5b382d5f3ef3f1'
    """
    if _PLAIN.fullmatch(text) and not _DEVICES.fullmatch(text):
        return text + ending
    readable = _OTHERS.sub("_", text.lower()).strip("_")[:_READABLE]
    if not readable or _DEVICES.fullmatch(readable):
        readable = f"_{readable}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{readable}.{digest}{ending}"
