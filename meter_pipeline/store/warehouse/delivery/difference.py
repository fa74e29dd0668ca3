"""What a target lacks: the steps from what it has to what a publication holds. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.contents import Content, Month
from meter_pipeline.store.warehouse.delivery.relations import Column
from meter_pipeline.store.warehouse.delivery.state import Existing, Held, HeldTable

# Most columns that a note names.
_NAMED = 3


@dataclass(frozen=True)
class Step:
    """What is to be done with one table.

    Attributes:
        content: What the table is to hold.
        table: What the target will say that it has.
        rebuild: Whether a new table takes the place of the old one, if there is one.
        clear: Whether all rows are deleted first.
        added: Columns to be added.
        outdated: Months whose rows are deleted.
        sent: Months whose rows are sent; None for all rows.
    """

    content: Content
    table: HeldTable
    rebuild: bool = False
    clear: bool = False
    added: tuple[Column, ...] = ()
    outdated: frozenset[Month] = frozenset()
    sent: frozenset[Month] | None = None

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return self.sent is None or bool(self.added or self.outdated or self.sent)


@dataclass(frozen=True)
class Difference:
    """All that is to be done: a step for each table, tables to drop, and what people should know about it."""

    steps: Sequence[Step]
    dropped: Sequence[str]
    notes: Sequence[str]


def compare(
    contents: Iterable[Content],
    bases: Callable[[Content], str],
    type_of: Callable[[Column], str],
    held: Held | None,
    existing: Mapping[str, Existing],
) -> Difference:
    """Compares what a publication holds with what a target has.

    Args:
        contents: What the publication holds.
        bases: A text for each content; equal states mean equal rows only while it is the same.
        type_of: The type of a column in the target.
        held: What the target says that it has; None if that is unknown or cannot be relied on.
        existing: What the target's catalog has.

    Raises:
        WarehouseError: A table that no delivery has made is in the way.
    """
    known = held.tables if held is not None else {}
    steps, notes = [], []
    for content in contents:
        name = content.relation.target
        wanted = HeldTable(
            source=content.relation.source,
            columns={column.target: type_of(column) for column in content.relation.columns},
            key=tuple(content.relation.column(column).target for column in content.relation.key),
            basis=bases(content),
            states=content.states,
        )
        step, note = _compare_table(name, content, wanted, known.get(name), existing.get(name))
        steps.append(step)
        notes += [note] if note else []
    chosen = {step.content.relation.target for step in steps}
    ours = {name for name, table in existing.items() if table.is_ours}
    return Difference(steps, sorted((ours | (set(known) & set(existing))) - chosen), notes)


def _explain_rebuild(name: str, wanted: HeldTable, existing: Existing) -> str:
    """Says why a table is made again: indexes that others have added to it do not come back."""
    changed = [
        f"{column} is {wanted.columns[column]} now"
        for column, type_ in existing.columns.items()
        if wanted.columns.get(column, type_) != type_
    ]
    gone = [f"{column} is gone" for column in existing.columns if column not in wanted.columns]
    why = ", ".join([*changed, *gone][:_NAMED]) or "it has another primary key"
    return f"{name} is made again: {why}"


def _compare_table(
    name: str, content: Content, wanted: HeldTable, held: HeldTable | None, existing: Existing | None
) -> tuple[Step, str | None]:
    if existing is None:
        note = f"{name} was gone from the target: it is sent in full" if held is not None else None
        return Step(content, wanted, rebuild=True), note
    if held is None and not existing.is_ours:
        raise WarehouseError(
            f"the target has a table {name} that no delivery has made: drop or rename it, or name another schema"
        )
    is_changed = held is not None and dict(existing.columns) != dict(held.columns)
    # By hand, or by a delivery that was killed after it had added a column.
    note = f"{name} has other columns in the target than were delivered: it is sent in full" if is_changed else None
    added = tuple(
        column
        for column in content.relation.columns
        if column.target in wanted.columns.keys() - existing.columns.keys()
    )
    fits = existing.columns.items() <= wanted.columns.items()
    if not fits or (held is not None and held.key != wanted.key):
        return Step(content, wanted, rebuild=True), note or _explain_rebuild(name, wanted, existing)
    if held is None or is_changed or (held.source, held.basis) != (wanted.source, wanted.basis):
        return Step(content, wanted, clear=True, added=added), note
    outdated = {month for month, state in held.states.items() if wanted.states.get(month) != state}
    sent = {month for month, state in wanted.states.items() if held.states.get(month) != state}
    return Step(content, wanted, added=added, outdated=frozenset(outdated), sent=frozenset(sent)), None
