"""Whether an answer is about what was asked for: a cache or a proxy in between may answer with another resource."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from meter_pipeline.api.syntax import Malformed

_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Mismatch(Malformed):
    """The answer is about another resource than the one that was asked for."""


def require(noun: str, asked: str, answered: str) -> None:
    """Makes sure that an answer has the id that was asked for.

    Args:
        noun: What has the id: job, strategy or schedule.
        asked: The id in the request.
        answered: The id in the answer.

    Raises:
        Mismatch: It has another one.
    """
    if asked != answered and not _same_uuid(asked, answered):
        raise Mismatch(f"{noun} {_shown(answered)}, not {noun} {_shown(asked)} that was asked for")


def require_named(noun: str, asked: str, data: Mapping[str, Any], key: str) -> None:
    """The same for an id that the answer may leave out: only one that is there can be wrong.

    Raises:
        Mismatch: `key` is there and holds another id.
    """
    found = data.get(key)
    if isinstance(found, (str, int)) and not isinstance(found, bool) and found != "":
        require(noun, asked, str(found))


def _same_uuid(asked: str, answered: str) -> bool:
    """Whether both are one UUID: it may be asked for in capital letters, or without dashes."""
    try:
        return uuid.UUID(asked) == uuid.UUID(answered)
    except ValueError:
        return False


def _shown(id_: str) -> str:
    return id_ if _PLAIN.fullmatch(id_) else ascii(id_[:100]) + ("…" if len(id_) > 100 else "")
