"""`meter.yaml`: how to read each strategy; the whole file is checked before anything uses it.

acknowledge: true
filter: null
strategies:
  new-books: {key: [isbn], ignore: [scraped_at], array_order: ignore, types: {price: text}, owners: [team:pricing]}
  old-books: {audit: {hold: [known], flag: [step], ignore: [seller], off: [stale]}}
deliver:
  analytics: {to: "env:ANALYTICS_URL", schema: meter, tables: ["marts.*", "results.*"]}
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from meter_pipeline.config.audit_rules import ALL, NO_AUDIT_CONFIG, TESTS, AuditConfig
from meter_pipeline.config.deliveries import DeliveryTarget, check_target
from meter_pipeline.config.field_paths import parse_path
from meter_pipeline.config.item_rules import PAGE, RUN, ItemRules
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.text.names import suggest

log = logging.getLogger("meter_pipeline.config")

TYPES = ("integer", "double", "text", "json")
_OWNER = re.compile(r"team:[\w-]+|[^@\s:]+@[^@\s]+\.[^@\s]+")
_NONE: Mapping[str, Any] = MappingProxyType({})


class ConfigError(MeterPipelineError):
    """`meter.yaml` cannot be used; the message is one line that begins with file and line."""


@dataclass(frozen=True)
class StrategyConfig(ItemRules):
    """The entry of one strategy: its item rules, how its jobs are audited, and who owns its assets.

    Attributes:
        audit: Which tests of the audit hold, flag or are off, and which fields are not judged.
        owners: Owners of the strategy's assets: `team:name` or an e-mail address, as in Dagster.
        line: The line of the entry in the file.
    """

    audit: AuditConfig = NO_AUDIT_CONFIG
    owners: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)


# Derived, so that a rule is declared in one place.
_OPTIONS = tuple(option.name for option in fields(StrategyConfig) if option.name != "line")
_TARGET_OPTIONS = ("to", "schema", "tables")
_AUDIT_OPTIONS = tuple(option.name for option in fields(AuditConfig))


@dataclass(frozen=True)
class Config:
    """The contents of `meter.yaml`.

    Attributes:
        acknowledge: Whether loaded changes are acknowledged at Meter.
        filter: The filter for peeking at a schedule's changes; never sent with a read that acknowledges.
        strategies: Entries by slug, id or name of a strategy.
        deliver: Targets of `deliver`, by name.
        path: The file; None where there is none.
        missing: The file that was named and does not exist; None otherwise.
    """

    acknowledge: bool = True
    filter: str | None = None
    strategies: Mapping[str, StrategyConfig] = field(default_factory=lambda: _NONE)
    deliver: Mapping[str, DeliveryTarget] = field(default_factory=lambda: _NONE)
    path: Path | None = field(default=None, compare=False)
    missing: Path | None = field(default=None, compare=False)

    def strategy(self, slug: str, strategy_id: str, name: str | None) -> StrategyConfig | None:
        """The entry of a strategy: under its slug, else its id, else its name; None without one."""
        label = self.label(slug, strategy_id, name)
        return None if label is None else self.strategies[label]

    def label(self, slug: str, strategy_id: str, name: str | None) -> str | None:
        """The label under which the entry of a strategy stands; None without one."""
        return next((label for label in (slug, strategy_id, name) if label in self.strategies), None)


def load_config(named: Path | None) -> Config:
    """Reads a `meter.yaml`.

    Args:
        named: The file; None: `meter.yaml` in the working folder. Either may be absent, and it is said of a named one.

    Raises:
        ConfigError: The file cannot be read, or something in it is not valid.
    """
    path = Path("meter.yaml").absolute() if named is None else named
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            if named is not None:
                log.warning("%s does not exist: there are no keys, types or other rules from a meter.yaml", path)
            return Config(missing=named)
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{path}:1: the file cannot be read: {reason}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = "a tab: indent with spaces" if "'\\t'" in (error.problem or "") else error.problem
        raise ConfigError(f"{path}:{line}: not valid YAML: {reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1: not valid YAML: {' '.join(str(error).split())}") from None
    return Config(path=path) if root is None else _Reader(path).config(root)


class _Reader:
    """Turns YAML nodes, which know their lines, into records."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def config(self, root: yaml.Node) -> Config:
        entries = dict(self._entries(root, "the file", ("acknowledge", "filter", "strategies", "deliver")))
        return Config(
            acknowledge=self._boolean(entries["acknowledge"], "acknowledge") if "acknowledge" in entries else True,
            filter=self._text_or_null(entries["filter"], "filter") if "filter" in entries else None,
            strategies=MappingProxyType(self._strategies(entries["strategies"]) if "strategies" in entries else {}),
            deliver=MappingProxyType(self._targets(entries["deliver"]) if "deliver" in entries else {}),
            path=self._path,
        )

    def _strategies(self, node: yaml.Node) -> dict[str, StrategyConfig]:
        if _is_null(node):
            return {}
        return {name: self._strategy(inner, name) for name, inner in self._entries(node, "strategies")}

    def _strategy(self, node: yaml.Node, name: str) -> StrategyConfig:
        line = node.start_mark.line + 1
        if _is_null(node):
            return StrategyConfig(line=line)
        options: dict[str, Any] = {}
        for option, inner in self._entries(node, name, _OPTIONS):
            if option in ("key", "ignore"):
                options[option] = self._paths(inner, option)
            elif option == "types":
                options[option] = MappingProxyType(self._types(inner))
            elif option == "audit":
                options[option] = self._audit(inner)
            elif option == "owners":
                options[option] = tuple(self._owner(owner) for owner in self._texts(inner, option))
            elif option == "items":
                options[option] = self._single_path(inner, option)
            elif option == "compare":
                options[option] = self._choice(inner, option, (RUN, PAGE))
            else:
                options[option] = self._choice(inner, option, ("keep", "ignore")) == "keep"
        return StrategyConfig(**options, line=line)

    def _audit(self, node: yaml.Node) -> AuditConfig:
        options: dict[str, frozenset[str]] = {}
        named: set[str] = set()
        for option, inner in self._entries(node, "audit", _AUDIT_OPTIONS):
            if option == "ignore":
                options[option] = frozenset(self._paths(inner, "audit.ignore"))
                continue
            tests = (*TESTS, ALL) if option == "flag" else TESTS
            nodes = self._texts(inner, f"audit.{option}")
            for test in nodes:
                if test.value not in tests:
                    raise self._error(test, f"{test.value!r} is not a test of the audit: {suggest(test.value, tests)}")
                if test.value in named:
                    raise self._error(test, f"{test.value!r} is in audit twice: remove one")
                named.add(test.value)
            options[option] = frozenset(test.value for test in nodes)
        return AuditConfig(**options)

    def _targets(self, node: yaml.Node) -> dict[str, DeliveryTarget]:
        if _is_null(node):
            return {}
        return {name: self._target(inner, name) for name, inner in self._entries(node, "deliver")}

    def _target(self, node: yaml.Node, name: str) -> DeliveryTarget:
        inner = dict(self._entries(node, name, _TARGET_OPTIONS))
        to = self._text_or_null(inner["to"], "to") if "to" in inner else None
        if to is None:
            raise self._error(node, f"{name} needs `to`, the address to deliver to")
        options: dict[str, Any] = {}
        schema = self._text_or_null(inner["schema"], "schema") if "schema" in inner else None
        if schema is not None:
            options["schema"] = schema
        if "tables" in inner:
            options["tables"] = tuple(str(pattern.value) for pattern in self._texts(inner["tables"], "tables"))
        target = DeliveryTarget(name, to, **options, line=node.start_mark.line + 1)
        problem = check_target(name, to, schema, target.tables)
        if problem is not None:
            raise self._error(node, problem)
        return target

    # -- values

    def _entries(
        self, node: yaml.Node, what: str, names: tuple[str, ...] | None = None
    ) -> Iterator[tuple[str, yaml.Node]]:
        """Names and values of a mapping; no name occurs twice, and all are in `names` if given."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"{what} must be a mapping of names to values")
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, f"a name in {what} must be plain text")
            if key.value in seen:
                raise self._error(key, f"{key.value!r} is here twice: remove one")
            if names is not None and key.value not in names:
                raise self._error(key, f"{key.value!r} is not known here: {suggest(key.value, names)}")
            seen.add(key.value)
            yield key.value, value

    def _texts(self, node: yaml.Node, what: str) -> list[yaml.ScalarNode]:
        """The nodes of a list of texts, or of a single text."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for element in nodes:
            if not isinstance(element, yaml.ScalarNode) or _is_null(element):
                raise self._error(element, f"{what} must be a list of names, as [a, b]")
        return list(nodes)

    def _paths(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        paths = []
        for path in self._texts(node, what):
            try:
                parse_path(path.value)
            except ValueError as error:
                raise self._error(path, str(error)) from None
            if path.value in paths:
                raise self._error(path, f"{path.value!r} is in {what} twice: remove one")
            paths.append(path.value)
        return tuple(paths)

    def _single_path(self, node: yaml.Node, what: str) -> str:
        """A single path."""
        if not isinstance(node, yaml.ScalarNode) or _is_null(node):
            raise self._error(node, f"{what} must be the path of one field")
        return self._paths(node, what)[0]

    def _types(self, node: yaml.Node) -> dict[str, str]:
        return {column: self._type(kind, column) for column, kind in self._entries(node, "types")}

    def _type(self, node: yaml.Node, name: str) -> str:
        return self._choice(node, f"the type of {name}", TYPES)

    def _owner(self, node: yaml.ScalarNode) -> str:
        owner = str(node.value)
        if not _OWNER.fullmatch(owner):
            raise self._error(node, f"{owner!r} is not a valid owner: give team:name or an e-mail address")
        return owner

    def _choice(self, node: yaml.Node, what: str, choices: tuple[str, ...]) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.value not in choices:
            given = f"{node.value!r}" if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise self._error(node, f"{what} must be {' or '.join(choices)}, not {given}")
        return str(node.value)

    def _boolean(self, node: yaml.Node, what: str) -> bool:
        if node.tag != "tag:yaml.org,2002:bool":
            raise self._error(node, f"{what} must be true or false")
        return str(node.value).lower() in ("true", "yes", "on")

    def _text_or_null(self, node: yaml.Node, what: str) -> str | None:
        if _is_null(node):
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, f"{what} must be text")
        return str(node.value)

    def _error(self, node: yaml.Node, text: str) -> ConfigError:
        return ConfigError(f"{self._path}:{node.start_mark.line + 1}: {text}")


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")
