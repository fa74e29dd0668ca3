"""Makes file names from untrusted text, such as an id from the API.

Such text may hold slashes, dots or control characters, have any length, or differ from another text only in case. In
this package, text from the API enters a path only through `make_file_name` or as a slug (letters, digits, underscores).
"""

from __future__ import annotations

import hashlib
import re

# A lower-case UUID is its own file name. Text with capitals is not: some disks do not distinguish `A` from `a`.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_-]{0,99}")
_OTHERS = re.compile(r"[^a-z0-9]+")
# Names that Windows reserves for devices, with any ending.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")
_MAX_READABLE = 40


def make_file_name(text: str, ending: str = "") -> str:
    """Returns a file name, without a folder, for a text; different texts have different names.

    Plain text (up to 100 lower-case letters, digits, `-` and `_`) is its own name. For other text the name is its
    readable part, a dot and a digest; plain text has no dot, so the two kinds of names never clash.

    Args:
        text: Any text.
        ending: The suffix of the name, such as `.json`.

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
    readable = _OTHERS.sub("_", text.lower()).strip("_")[:_MAX_READABLE]
    if not readable or _DEVICES.fullmatch(readable):
        readable = f"_{readable}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{readable}.{digest}{ending}"
