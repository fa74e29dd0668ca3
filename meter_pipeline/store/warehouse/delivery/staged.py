"""Delivery into a database without transactions over several tables: staging tables, and a swap of their names.

Whatever a delivery writes goes to staging tables: new ones, and copies of the tables that change. When all of it is
there, the staging tables are swapped for the tables, those about deliveries among them. It survives a crash at any
moment:

* Before the swap nothing that a reader sees has changed. A later delivery drops the staging tables.
* A *plan* is written before the swap and dropped after it: a later delivery that finds one finishes the swap. It waits
  for some seconds first, since the swap may be under way.
* Nobody would release the lock of a delivery that was killed, so there is none. The name of an empty table, the *turn*,
  is a number: a delivery renames it to the next one before its swap. Of several that have begun in the same turn one
  can do that, and the others leave.
"""

from __future__ import annotations

import re
import time
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple

from meter_pipeline.config.deliveries import Address
from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.relations import Relation
from meter_pipeline.store.warehouse.delivery.session import Session
from meter_pipeline.store.warehouse.delivery.state import Existing

#: How long a swap may be under way before another delivery finishes it (seconds of the target's clock).
SWAP_SECONDS = 10
_POLL_SECONDS = 0.2
_TURN = re.compile(r"_meter_turn_(\d+)_(\d+)_([0-9a-f]{8})")
_STAGING = re.compile(r"_meter_([0-9a-f]{8})_\w+")


class Turn(NamedTuple):
    """A turn: its number, when it was taken by the target's clock (seconds since 1970), and whose plan counts in it."""

    number: int
    taken_at: int
    run: str

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"_meter_turn_{self.number}_{self.taken_at}_{self.run}"


class Planned(NamedTuple):
    """A line of a plan: a table, the staging table that takes its place, and that one's id; empty for one to drop."""

    table: str
    staged: str
    table_id: str


class StagedSession(Session):
    """A delivery by staging tables.

    Raises:
        WarehouseError: The target cannot be reached, or refuses.
    """

    _turn: Turn

    def __init__(self, address: Address, schema: str) -> None:
        super().__init__(address, schema)
        self._run = uuid.uuid4().hex[:8]
        self._staged: dict[str, str] = {}
        self._dropped: list[str] = []
        self._has_turn = False

    # -- what differs between kinds of targets

    @abstractmethod
    def identify(self) -> Mapping[str, str]:
        """Every table by name, with an id that it keeps when it is renamed or swapped."""

    @abstractmethod
    def now(self) -> int:
        """The target's clock (seconds since 1970)."""

    @abstractmethod
    def create_table(self, table: str, columns: str, relation: Relation | None = None) -> None:
        """Creates an empty table unless it is there; its keys and order are those of a relation, if there is one."""

    @abstractmethod
    def copy(self, table: str, copy: str) -> None:
        """Creates a table with the columns, comments and rows of another, at a cost that does not follow its size."""

    @abstractmethod
    def rename(self, table: str, name: str) -> None:
        """Renames a table, at once or not at all; fails if it is not there."""

    @abstractmethod
    def swap(self, swapped: Sequence[tuple[str, str]], renamed: Sequence[tuple[str, str]]) -> None:
        """Makes staging tables visible, with as little time between them as can be.

        Args:
            swapped: Tables with the staging tables that exchange their names with them.
            renamed: New tables with the staging tables that get their names.
        """

    # -- the delivery

    def begin(self) -> None:
        """Takes part in the current turn, after the last swap is finished."""
        self._turn = self._read_turn()
        while (plan := _plan_of(self._turn.run)) in (tables := self.identify()):
            if self.now() - self._turn.taken_at < SWAP_SECONDS:
                time.sleep(_POLL_SECONDS)
                self._turn = self._read_turn()
            else:
                self._turn = self._take_turn(self._turn.run)
                self._finish(plan, tables)

    def written(self, table: str) -> str:
        """The staging table, which the first statement that changes a table makes as a copy of it."""
        if _STAGING.fullmatch(table):
            return self.name(table)
        if table not in self._staged:
            self.copy(table, self._stage(table))
        return self.name(self._staged[table])

    def create(self, relation: Relation) -> str:
        """Creates an empty staging table."""
        staged = self._stage(relation.target)
        self.create_table(staged, self.define(relation), relation)
        return staged

    def recreate(self, table: str, columns: str) -> None:
        """Creates an empty staging table for a table about deliveries."""
        self.create_table(self._stage(table), columns)

    def put_in_place(self, table: str, relation: Relation, old: Existing | None) -> None:
        """Nothing: the swap does it."""

    def drop(self, table: str) -> None:
        """Drops a table after the swap."""
        self._dropped.append(table)

    def commit(self) -> None:
        """Swaps all staging tables, if no other delivery has done so since this one began."""
        tables = self.identify()
        if self._turn.table not in tables:
            # Its delivery has dropped these staging tables as well.
            raise self._overtaken()
        plan = [Planned(table, staged, tables[staged]) for table, staged in self._staged.items()]
        plan += [Planned(table, "", "") for table in self._dropped]
        name = _plan_of(self._run)
        text = self.types["text"]
        self.create_table(name, ", ".join(f"{self.quote(column)} {text}" for column in Planned._fields))
        self._insert(name, plan)
        self._turn = self._take_turn(self._run)
        self._has_turn = True
        self._finish(name, self.identify())

    def close(self) -> None:
        """Drops the staging tables of a delivery that was not committed, and closes the connection."""
        if not self._has_turn:
            # What has failed may be the connection; then the next delivery drops them.
            with suppress(WarehouseError):
                self._drop_all(name for name in (*self._staged.values(), _plan_of(self._run)))
        super().close()

    def _stage(self, table: str) -> str:
        staged = f"_meter_{self._run}_{blake2b(table.encode(), digest_size=8).hexdigest()}"
        self._staged[table] = staged
        return staged

    def _finish(self, plan: str, tables: Mapping[str, str]) -> None:
        """Carries out what is left of a plan, in a turn that is this delivery's."""
        rows = [Planned(*row) for row in self.execute(f"SELECT * FROM {self.name(plan)}")]  # noqa: S608
        left = [row for row in rows if row.staged and tables.get(row.table) != row.table_id]
        self.swap(
            [(row.table, row.staged) for row in left if row.table in tables],
            [(row.table, row.staged) for row in left if row.table not in tables],
        )
        # The plan goes before what is left over: no other delivery begins to stage while it is there.
        left_over = [name for name in tables if _is_left_over(name) and name != self._turn.table]
        self._drop_all([*(row.table for row in rows if not row.staged), plan, *left_over])

    def _drop_all(self, tables: Iterable[str]) -> None:
        for table in tables:
            self.execute(f"DROP TABLE IF EXISTS {self.name(table)}")

    def _read_turn(self) -> Turn:
        turns = self._find_turns()
        if not turns:
            first = Turn(0, 0, "0" * 8)
            self.create_table(first.table, f"number {self.types['bigint']}")
            # Another first delivery may have made it as well, and even have taken its turn since.
            turns = self._find_turns()
        return max(turns)

    def _find_turns(self) -> list[Turn]:
        found = map(_TURN.fullmatch, self.identify())
        return [Turn(int(turn[1]), int(turn[2]), turn[3]) for turn in found if turn is not None]

    def _take_turn(self, run: str) -> Turn:
        """The next turn, with the plan of a run.

        Raises:
            WarehouseError: Another delivery has taken it.
        """
        turn = Turn(self._turn.number + 1, self.now(), run)
        try:
            self.rename(self._turn.table, turn.table)
        except WarehouseError:
            if self._turn.table in self.identify():
                raise
            raise self._overtaken() from None
        return turn

    def _overtaken(self) -> WarehouseError:
        return WarehouseError(f"{self.address.shown}: another delivery has ended in the meantime; deliver again")


def _plan_of(run: str) -> str:
    return f"_meter_{run}_plan"


def _is_left_over(table: str) -> bool:
    return (_STAGING.fullmatch(table) or _TURN.fullmatch(table)) is not None
