"""The lake: Parquet files, called parts, that are written once and never changed.

The ledger's manifest lists the parts that count; a file that it does not list holds no rows of anybody. `part_set`
reads the parts of a strategy, `draft` writes new ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from meter_pipeline.host.causes import explain
from meter_pipeline.host.file_names import make_file_name
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.files import Files, open_files
from meter_pipeline.store.lake.part_set import PartSet
from meter_pipeline.store.lake.tables import (
    CHANGES,
    PROFILES,
    RAW,
    REJECTED,
    RESULTS,
    SCHEMAS,
    in_order,
    results_schema,
)
from meter_pipeline.store.parts import Part

__all__ = [
    "CHANGES",
    "PROFILES",
    "RAW",
    "REJECTED",
    "RESULTS",
    "SCHEMAS",
    "VERSION",
    "Lake",
    "in_order",
    "results_schema",
]

VERSION = 3
_MARKER = "lake.json"
# Written and deleted again to see whether that is allowed.
_PROBE = "check.json"


class Lake:
    """Tables `raw`, `rejected`, `results`, `changes` and `profiles`, each of all strategies.

    Attributes:
        files: Its files.
        version: The version of its layout; one of an older version must be taken over first: see `takeover`.
    """

    def __init__(self, files: Files, scratch: Scratch | None = None, version: int = VERSION) -> None:
        self.files = files
        self.version = version
        self._scratch = scratch or Scratch()

    @classmethod
    def open(cls, url: str, scratch: Scratch | None = None) -> Lake:
        """Opens the lake at a folder or URL, and creates it if it does not exist.

        Args:
            url: The folder or URL.
            scratch: For temporary files; the system's own temporary folder when None.

        Raises:
            LakeError: It cannot be reached, written, or was made by a newer version.
        """
        lake = cls(open_files(url, scratch), scratch)
        try:
            lake.version = int(json.loads(lake.files.read(_MARKER))["version"])
        except FileNotFoundError:
            lake.mark()
            return lake
        except OSError as error:
            raise LakeError(f"the lake cannot be used: {explain(error)}") from None
        except (ValueError, KeyError, TypeError):
            raise LakeError(f"{lake.files.uri(_MARKER)} is damaged: delete it if the lake is one of ours") from None
        if lake.version > VERSION:
            raise LakeError(
                f"the lake {lake.files.url} is of version {lake.version}, this program reads up to {VERSION}: "
                "upgrade it"
            )
        return lake

    def mark(self) -> None:
        """Marks the lake as one of this program's version."""
        with self.files.writing(_MARKER) as file:
            file.write(json.dumps({"version": VERSION}).encode())
        self.version = VERSION

    def require_writable(self) -> None:
        """Makes sure that files can be written and deleted.

        Raises:
            LakeError: They cannot.
        """
        with self.files.writing(_PROBE) as file:
            file.write(b"{}")
        self.files.delete([_PROBE])

    def require_any(self, names: Sequence[str]) -> None:
        """Makes sure that this is the lake of a ledger that lists these files.

        A ledger over the wrong lake would find each file missing, and enter files that no other machine can find.

        Raises:
            LakeError: The lake has none of the files.
        """
        if names and not any(self._has(name) for name in names):
            raise LakeError(
                f"the lake {self.files.url} has none of the files that the ledger lists, such as {names[0]}: correct "
                "METER_LAKE_URL or METER_LEDGER_URL; if that lake is lost, begin with a new ledger"
            )

    def _has(self, name: str) -> bool:
        try:
            self.files.size(name)
        except FileNotFoundError:
            return False
        return True

    def part_set(self, slug: str, parts: Iterable[Part]) -> PartSet:
        """The rows of a strategy in these parts, for reading."""
        return PartSet(self.files, slug, parts)

    def draft(self, slug: str, parts: Iterable[Part], owner: str, swept_at: str | None = None) -> Draft:
        """The next state of a strategy whose current parts are these.

        Args:
            slug: The strategy.
            parts: Its current parts.
            owner: The name of the ledger that will list the new parts: `Ledger.name`.
            swept_at: When that ledger was last swept: see `PartsChange`.
        """
        return Draft(self.files, slug, parts, owner, swept_at)

    def keep_body(self, job_id: str, body: bytes) -> str:
        """Keeps a body that could not be parsed as items, for people to examine; returns its address."""
        name = f"unreadable/{make_file_name(job_id, '.body')}"
        with self.files.writing(name) as file:
            file.write(body)
        return self.files.uri(name)

    @contextmanager
    def spill_folder(self) -> Iterator[Path]:
        """A temporary folder for data that does not fit into memory; it is deleted when the block ends.

        Raises:
            LakeError: It cannot be created.
        """
        with ExitStack() as made:
            try:
                folder = made.enter_context(self._scratch.make_folder())
            except ScratchError as error:
                raise LakeError(str(error)) from None
            yield folder
