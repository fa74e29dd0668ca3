"""The rules by which the jobs of a strategy are audited, as `meter.yaml` states them."""

from __future__ import annotations

from dataclasses import dataclass

from meter_pipeline.config.field_paths import parse_path

#: Stands for all tests in `flag`.
ALL = "*"
#: The names of the tests.
TESTS = (
    "items", "growth", "repeats", "sparse", "known", "stale", "filled", "form", "equal", "distinct", "values", "text",
    "script", "sign", "unit", "pattern", "length", "changed", "step", "partial", "dates", "other field", "other item",
    "level", "date",
)  # fmt: skip


@dataclass(frozen=True)
class AuditConfig:
    """What `meter.yaml` says about the audit of a strategy.

    Attributes:
        hold: Tests that hold where they would only flag.
        flag: Tests that flag where they would hold; `*` for all.
        ignore: Paths of fields that are not judged, with all below them.
        off: Tests that are not run.
    """

    hold: frozenset[str] = frozenset()
    flag: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()

    def softens(self, test: str) -> bool:
        """Whether a test only flags."""
        return test in self.flag or ALL in self.flag

    def is_ignored(self, path: str | None) -> bool:
        """Whether a field is not judged."""
        if path is None or not self.ignore:
            return False
        parts = parse_path(path)
        return any(parts[: len(ignored)] == ignored for ignored in map(parse_path, self.ignore))


NO_AUDIT_CONFIG = AuditConfig()
