"""The interface of models: a dbt project, or any other builder, that works on a candidate before it is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Built:
    """A finished build of models: the id of dbt's run, and the number of models that it built."""

    invocation_id: str
    models: int


class Models(Protocol):
    """Models that are built over the raw side of a candidate before it is published."""

    @property
    def version(self) -> str:
        """A digest of the models' definitions."""

    @property
    def carried(self) -> Sequence[str]:
        """Incremental tables, as `schema.name`: they start from their rows in the last publication."""

    def build(self, file: Path) -> Built:
        """Builds and tests the models in a candidate's file.

        Raises:
            RejectedError: A model or test failed; the message names it.
        """
