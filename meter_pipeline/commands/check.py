"""`check`: checks everything that a sync and a delivery need."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from meter_pipeline.commands.console import print_json, print_table
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings, misspellings
from meter_pipeline.config.variables import SettingsError, read_variable
from meter_pipeline.connect import open_client, open_lake, open_ledger, require_own_lake
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.host.causes import explain
from meter_pipeline.host.scratch import Scratch

if TYPE_CHECKING:
    from meter_pipeline.config.deliveries import DeliveryTarget
    from meter_pipeline.config.meter_yaml import Config

# Somebody waits for the result.
_DEADLINE_SECONDS = 30.0
_POOLED = (
    "the connection goes through a pooler in transaction mode, such as PgBouncer, which is fine: claims are rows, and "
    "no session keeps anything"
)


@dataclass(frozen=True)
class Finding:
    """The result of one check: its subject, whether it passed, and what was found or what to do about it."""

    name: str
    ok: bool
    detail: str


def check(as_json: Json = False) -> None:
    """Check the settings, the API, the key, the folders, the ledger, the lake and the targets of deliveries."""
    findings = run_checks(Settings.from_env())
    if as_json:
        print_json({"ok": all(f.ok for f in findings), "checks": findings})
    else:
        print_table(
            ("check", "", "detail"),
            [(f.name, "ok" if f.ok else "FAILED", f.detail) for f in findings],
            prose=["detail"],
        )
    raise typer.Exit(0 if all(f.ok for f in findings) else 1)


def run_checks(settings: Settings) -> list[Finding]:
    """Checks everything that a sync and a delivery need; a failed check does not stop the others."""
    api, ledger = list(_api(settings)), _ledger(settings)
    changes = [_changes(settings)] if ledger.ok and all(finding.ok for finding in api) else []
    rest = [
        _folder(settings),
        _spool(settings),
        ledger,
        _lake(settings, has_ledger=ledger.ok),
        *changes,
        *_targets(settings),
    ]
    return [_settings(settings), *api, *rest]


def _settings(settings: Settings) -> Finding:
    from meter_pipeline.config.meter_yaml import ConfigError, load_config

    problems = misspellings()
    try:
        config = load_config(settings.config)
    except ConfigError as error:
        problems.append(str(error))
    else:
        if config.missing is not None:
            problems.append(f"METER_CONFIG names {config.missing}, which does not exist: unset it, or write the file")
        problems += _mismatches(settings, config)
    if problems:
        return Finding("settings", False, "; ".join(problems))
    return Finding("settings", True, f"{config.path} is valid" if config.path else "no meter.yaml; none is needed")


def _mismatches(settings: Settings, config: Config) -> list[str]:
    """Names in `meter.yaml` that no strategy of the ledger has; none while the ledger is empty."""
    from meter_pipeline.config.mismatches import find_mismatches
    from meter_pipeline.store.errors import StoreError

    try:
        with open_ledger(settings) as ledger:
            strategies = ledger.strategies()
    except (StoreError, OSError):
        return []  # the check of the ledger reports it
    return find_mismatches(config, strategies) if strategies else []


def _api(settings: Settings) -> Iterator[Finding]:
    from meter_pipeline.api import MeterAuthError, MeterError, MeterForbidden

    try:
        with open_client(settings) as client:
            dialect = client.probe()
    except SettingsError as error:
        yield Finding("key", False, str(error))
    except (MeterAuthError, MeterForbidden) as error:
        yield Finding("API", True, f"{settings.base_url} answers")
        yield Finding("key", False, str(error))
    except MeterError as error:
        yield Finding("API", False, str(error))
    else:
        yield Finding("API", True, f"{settings.base_url} answers, dialect {dialect.prefix}")
        yield Finding("key", True, "accepted")


def _folder(settings: Settings) -> Finding:
    def write() -> str:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.data_dir, prefix=".check-"):
            return f"{settings.data_dir} is writable"

    return _check("data folder", write)


def _spool(settings: Settings) -> Finding:
    def write() -> str:
        with Scratch(settings.spool, settings.keep_free) as scratch:
            scratch.open().close()
            scratch.require_room(0)
        return f"{settings.spool} is writable"

    return _check("spool folder", write)


def _ledger(settings: Settings) -> Finding:
    def read() -> str:
        from meter_pipeline.store.ledger.database import SCHEMA_VERSION
        from meter_pipeline.store.times import now

        with open_ledger(settings) as ledger:
            found = f"version {int(SCHEMA_VERSION)}, {len(ledger.strategies()):,} strategies"
            ledger.note("checked_at", now())
            return f"{found}; {_POOLED}" if ledger.pools_transactions else found

    return _check("ledger", read)


def _lake(settings: Settings, *, has_ledger: bool) -> Finding:
    def write() -> str:
        from meter_pipeline.store.lake.lake import VERSION

        with open_lake(settings) as lake:
            lake.require_writable()
            # A lake of an older version is taken over first: its files are not listed yet.
            if has_ledger and lake.version == VERSION:
                with open_ledger(settings) as ledger:
                    require_own_lake(ledger, lake)
            return f"version {VERSION}, {lake.files.url}"

    return _check("lake", write)


def _changes(settings: Settings) -> Finding:
    """Describes what a sync does with Meter's unseen changes, and counts them if no sync has marked any yet."""
    from meter_pipeline.api import MeterError
    from meter_pipeline.store.ledger.change_sets import Unseen
    from meter_pipeline.sync.discovery.marking import count_unseen, describe_marking

    if not _valid_config(settings).acknowledge:
        return Finding("changes", True, "left unseen at Meter: `acknowledge: false` in meter.yaml")
    with open_ledger(settings) as ledger:
        if Unseen(ledger).counts().acknowledged:
            return Finding("changes", True, "marked as seen at Meter once they are loaded")
    try:
        with open_client(settings, deadline=_DEADLINE_SECONDS) as client:
            return Finding("changes", True, describe_marking(count_unseen(client)))
    except MeterError as error:
        return Finding("changes", False, f"the unseen changes at Meter cannot be counted: {error}")


def _targets(settings: Settings) -> Iterator[Finding]:
    for name, target in _valid_config(settings).deliver.items():
        yield _check(f"target {name}", partial(_reach, target))


def _valid_config(settings: Settings) -> Config:
    """Returns the configuration, or the defaults if it is not valid, which the check of the settings reports."""
    from meter_pipeline.config.meter_yaml import Config, ConfigError, load_config

    try:
        return load_config(settings.config)
    except ConfigError:
        return Config()


def _reach(target: DeliveryTarget) -> str:
    """Connects to a server and reads what it has; a file is left to the delivery that makes it."""
    from meter_pipeline.store.warehouse.delivery.deliver import open_session

    address = target.resolve(read_variable)
    if address.is_file:
        return f"{address.shown}, a file"
    with open_session(address, target.schema) as session:
        held = session.read_held()
    has = "nothing delivered yet" if held is None else f"has publication {held.publication_id}"
    return f"{address.shown} answers, {has}"


def _check(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, probe())
    except MeterPipelineError as error:
        return Finding(name, False, str(error))
    except OSError as error:
        return Finding(name, False, explain(error))
