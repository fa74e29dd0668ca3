"""Checks that an answer is about the requested resource: a cache or a proxy may answer with another one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from meter_pipeline.api.syntax import Malformed

_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Mismatch(Malformed):
    """The answer is about another resource than the requested one."""


def require(noun: str, asked: str, answered: str) -> None:
    """Checks that an answer has the requested id.

    Args:
        noun: The kind of resource: job, strategy or schedule.
        asked: The id in the request.
        answered: The id in the answer.

    Raises:
        Mismatch: The ids differ.
    """
    if asked != answered and not _same_uuid(asked, answered):
        raise Mismatch(f"{noun} {_shown(answered)}, not {noun} {_shown(asked)} that was asked for")


def require_named(noun: str, asked: str, data: Mapping[str, Any], key: str) -> None:
    """Checks an id that the answer may leave out.

    Args:
        noun: The kind of resource: job, strategy or schedule.
        asked: The id in the request.
        data: The answer.
        key: The key of `data` that holds the id.

    Raises:
        Mismatch: `data` has the key, with another id.
    """
    found = data.get(key)
    if isinstance(found, (str, int)) and not isinstance(found, bool) and found != "":
        require(noun, asked, str(found))


def _same_uuid(asked: str, answered: str) -> bool:
    """Whether both ids are the same UUID: a caller may write one in capital letters or without dashes."""
    try:
        return uuid.UUID(asked) == uuid.UUID(answered)
    except ValueError:
        return False


def _shown(id_: str) -> str:
    return id_ if _PLAIN.fullmatch(id_) else ascii(id_[:100]) + ("…" if len(id_) > 100 else "")
