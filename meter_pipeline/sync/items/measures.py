"""The numbers that are known about a candidate for a key."""

from __future__ import annotations

from dataclasses import dataclass

# A candidate is believed about another one only if its own pairs agree this well.
TRUSTED = 0.4


@dataclass
class Measures:
    """What is known about a candidate; counts are sums over all jobs or all pairs of consecutive jobs.

    Attributes:
        items: Number of sampled items.
        present: Number of those with a value in each field.
        repeated: Number of those whose value an earlier item of the job has.
        most_items: Items of the largest sample.
        most_values: Different values in the job that has most.
        matched: Pairs of items with the same value in consecutive jobs.
        changed: Those of them of which another field has another value; a gap is none.
        met: Pairs of consecutive jobs that have such items.
        came: Items with a value that the job before does not have.
        smaller: Items with a value in the smaller job of each pair, of which all could match if none came or left.
        agreement: Share of the other fields that agree in the pairs, 0 as often as by chance and 1 always; None where
            no other field tells anything.
        changes: Estimated number of items that kept all else and changed this value.
        recognised: Number of items among which these changes were found.
        checked: Number of items that were recognised without it, by other fields.
        unsure: Share of recognised items whose value may have changed for all that was seen; 1 without any.
        unsettled: Items whose value is gone, and of which nothing tells whether they left or have another value.
        replaced: Share of the pairs in which all words differ at once, more often than they would one by one.
        reused: Times that a value is that of another item later, all of whose other fields differ.
        swapped: How many of these items differ in all other fields that tell.
        are_copies: Whether items with the same value are whole items that repeat, as far as most fields tell.
        are_distinct: Whether there are no items with the same value in a job, or they are alike in all that tells.
        is_by_ranks: Whether the agreement is that of the order of numbers, since no value stays the same.
        is_alone: Whether other fields agree neither in its pairs nor in those of a candidate that has half as many.
        is_position: Whether the values number the items' places from the same start in every job.
    """

    items: int = 0
    present: int = 0
    repeated: float = 0.0
    most_items: int = 0
    most_values: int = 0
    matched: int = 0
    changed: int = 0
    met: int = 0
    came: int = 0
    smaller: float = 0.0
    agreement: float | None = None
    changes: float = 0.0
    recognised: float = 0.0
    checked: int = 0
    unsure: float = 1.0
    unsettled: int = 0
    replaced: float = 0.0
    reused: int = 0
    swapped: int = 0
    are_copies: bool = False
    are_distinct: bool = False
    is_position: bool = False
    is_by_ranks: bool = False
    is_alone: bool = False

    @property
    def presence(self) -> float:
        """Share of items with a value."""
        return self.present / self.items if self.items else 0.0

    @property
    def uniqueness(self) -> float:
        """Share of values that no earlier item of the job has."""
        return 1 - self.repeated / self.present if self.present else 0.0

    @property
    def is_trusted(self) -> bool:
        """Whether its pairs are good enough to show that another candidate changes."""
        is_good = self.agreement is not None and self.agreement >= TRUSTED
        return is_good and not self.is_by_ranks and not self.is_position

    @property
    def loss(self) -> float:
        """Share of recognised items whose value changed."""
        return min(self.changes / self.recognised, 1.0) if self.recognised else 0.0
