"""The lock of a schema of Databricks: an empty table for each delivery under way, whose comment says whose it is.

A delivery makes its own first and looks for others afterwards. So of two that begin at once at least one sees the
other, and leaves.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.warehouse.delivery.databricks_layout import DIALECT
from meter_pipeline.store.warehouse.delivery.holder import LEASE, RENEWAL, describe_refusal, has_ended, name_holder

_LOCK = re.compile(r"_meter_lock_(\d+)_[0-9a-f]{8}")
_COMMENT = re.compile(r"held until (\d+) by (.*)", re.DOTALL)


class Lock:
    """A delivery's lock.

    Args:
        run: Executes a statement and returns its rows.
        list_tables: Lists the schema's tables by name, with their comments.
        schema: The schema as SQL.
        shown: What messages call the target.
    """

    def __init__(
        self,
        run: Callable[[str], list[tuple[object, ...]]],
        list_tables: Callable[[], dict[str, str]],
        schema: str,
        shown: str,
    ) -> None:
        self._run, self._list_tables, self._schema, self._shown = run, list_tables, schema, shown
        self._name = ""
        self._renewed_at = 0.0

    def acquire(self, number: int) -> tuple[int, bool]:
        """Keeps others out.

        Args:
            number: The number of the last delivery.

        Returns:
            The number of this delivery, higher than that of any that was begun, and whether another was cut off.

        Raises:
            WarehouseError: Another delivery is under way.
        """
        numbers = [int(found[1]) for found in map(_LOCK.fullmatch, self._list_tables()) if found]
        own = max([number, *numbers]) + 1
        self._name = f"_meter_lock_{own}_{uuid.uuid4().hex[:8]}"
        self._run(f"CREATE TABLE {self._table(self._name)} (holder STRING) COMMENT {self._describe()}")
        self._renewed_at = time.monotonic()
        others = {name: text for name, text in self._list_tables().items() if _LOCK.fullmatch(name)}
        others.pop(self._name, None)
        if not all(map(self._is_over, others.values())):
            self.release()
            raise WarehouseError(describe_refusal(self._shown))
        for name in others:
            self._run(f"DROP TABLE IF EXISTS {self._table(name)}")
        return own, bool(others)

    def keep(self) -> None:
        """Renews the lock, a statement every five minutes however often it is called.

        Raises:
            WarehouseError: Another delivery has taken it over.
        """
        if time.monotonic() - self._renewed_at > RENEWAL.seconds:
            self.check()
            self._run(f"COMMENT ON TABLE {self._table(self._name)} IS {self._describe()}")
            self._renewed_at = time.monotonic()

    def check(self) -> None:
        """Makes sure that the lock is this delivery's.

        Raises:
            WarehouseError: Another delivery has taken it over.
        """
        if self._name not in self._list_tables():
            raise WarehouseError(f"{self._shown}: another delivery has come between; deliver again")

    def release(self) -> None:
        """Lets others in; a lock that was never acquired is none."""
        if self._name:
            self._run(f"DROP TABLE IF EXISTS {self._table(self._name)}")
            self._name = ""

    def _now(self) -> int:
        ((seconds,),) = self._run("SELECT unix_timestamp(current_timestamp())")
        return int(str(seconds))

    def _describe(self) -> str:
        return DIALECT.literal(f"held until {self._now() + LEASE.seconds} by {name_holder()}")

    def _is_over(self, comment: str) -> bool:
        found = _COMMENT.fullmatch(comment)
        return found is not None and (int(found[1]) < self._now() or has_ended(found[2]))

    def _table(self, name: str) -> str:
        return f"{self._schema}.{DIALECT.quote(name)}"
