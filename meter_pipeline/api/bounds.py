"""Limits of what an answer may hold, so that no hostile or broken server fills the disk or the memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from meter_pipeline.api.syntax import Malformed
from meter_pipeline.host.sizes import MAX_BODY, MAX_PAGE, MAX_RECORD, spell_size


class TooLarge(Malformed):
    """The answer is larger than a bound.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


class NoRoom(TooLarge):
    """The answer is larger than the free space on the disk."""


class Bound(NamedTuple):
    """A limit: what it limits, the most bytes, and the setting that changes it."""

    what: str
    most: int
    setting: str

    def check(self, size: int) -> None:
        """Checks a size in bytes.

        Raises:
            TooLarge: It is above the limit.
        """
        if size > self.most:
            raise TooLarge(
                f"{self.what} is larger than {spell_size(self.most)}", f"raise {self.setting} if it is meant to be"
            )


@dataclass(frozen=True)
class Bounds:
    """Most bytes, decompressed.

    Attributes:
        max_body: Of a body.
        max_record: Of one item, or of everything else that a job's record has.
        max_page: Of one page of a listing.
    """

    max_body: int = MAX_BODY
    max_record: int = MAX_RECORD
    max_page: int = MAX_PAGE

    @cached_property
    def body(self) -> Bound:
        """The bound of a body."""
        return Bound("the body", self.max_body, "METER_MAX_BODY")

    @cached_property
    def record(self) -> Bound:
        """The bound of a record."""
        return Bound("a record", self.max_record, "METER_MAX_RECORD")

    @cached_property
    def page(self) -> Bound:
        """The bound of a page."""
        return Bound("a page of the listing", self.max_page, "METER_MAX_PAGE")
