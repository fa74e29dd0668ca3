"""Builds all definitions of one Meter account: reads the ledger and `meter.yaml`, and wires the parts together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from meter_pipeline.config.meter_yaml import Config, ConfigError, load_config
from meter_pipeline.config.settings import Settings, misspellings
from meter_pipeline.connect import open_ledger
from meter_pipeline.defs.account import Account, check_explicit
from meter_pipeline.defs.assets.comparisons import build_comparison_asset
from meter_pipeline.defs.assets.delivery import build_delivery_assets
from meter_pipeline.defs.assets.models import NO_MODELS, OWNERS, load_model_specs
from meter_pipeline.defs.assets.other_results import make_spec, split_off
from meter_pipeline.defs.assets.publication import build_publication_assets
from meter_pipeline.defs.assets.sync import build_sync_assets
from meter_pipeline.defs.decisions import build_decision_jobs
from meter_pipeline.defs.declared import find_declared_strategies
from meter_pipeline.defs.inputs.io_manager import LakeIOManager
from meter_pipeline.defs.keys import LAKE_IO_MANAGER, METER_RESOURCE, STORE_RESOURCE
from meter_pipeline.defs.metadata.origin import mark_sandbox
from meter_pipeline.defs.naming import MeterTranslator, translate
from meter_pipeline.defs.resources import MeterResource, StoreResource
from meter_pipeline.defs.schedules import LOAD, SYNC, build_hourly_schedule, build_jobs
from meter_pipeline.defs.sensors import SensorSettings, build_schedule_sensor
from meter_pipeline.store.warehouse.dbt import Project
from meter_pipeline.text.printable import PrintableLog

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import ScheduleRow, StrategyRow

_log = logging.getLogger(__name__)
_log.addFilter(PrintableLog())


def build_meter_defs(
    settings: Settings | None = None,
    *,
    translator: MeterTranslator | None = None,
    strategies: Sequence[str] = (),
    api_key: dg.EnvVar | None = None,
    ledger_url: str | dg.EnvVar | None = None,
    lake_url: str | dg.EnvVar | None = None,
) -> dg.Definitions:
    """Builds the assets, checks, job, schedule and sensor of a Meter account, for your own Dagster project.

    For several accounts in one code location, call this once for each, with another `key_prefix` and data folder.

    Args:
        settings: Where the API and the data are; by default the environment's `METER_*` variables.
        translator: Sets keys, groups, owners and names as your project wants them.
        strategies: Names or slugs of strategies that have a results asset before any sync has seen them.
        api_key: The variable that holds the key; `METER_API_KEY` by default. With another variable, the ledger and the
            lake are in the data folder unless they are given too.
        ledger_url: SQLAlchemy URL or path of the ledger, or the variable that holds it.
        lake_url: URL or path of the lake, or the variable that holds it.

    Raises:
        SettingsError: A setting is not valid, or holds a secret that would become part of the definitions.

    Example:
        `defs = dg.Definitions.merge(build_meter_defs(strategies=["new_books"]), dg.Definitions(assets=[cheap_books]))`
    """
    account = Account(api_key, ledger_url, lake_url)
    if settings is not None:
        account = check_explicit(settings, account)
    return build_defs(settings or Settings.from_env(), translator=translator, strategies=strategies, account=account)


def build_defs(
    settings: Settings,
    *,
    translator: MeterTranslator | None = None,
    strategies: Sequence[str] = (),
    account: Account = Account(),
) -> dg.Definitions:
    """Builds the definitions for the data of `settings`.

    The strategies are those in the ledger now and those that are declared; the API is not called. Secrets are read from
    the environment when a run needs them and are not part of the definitions.
    """
    for line in misspellings():
        _log.warning("%s", line)
    settings = account.apply_to(settings)
    rows, schedules = read_ledger(settings)
    config = read_config(settings)
    named = translator or MeterTranslator()
    keys, names = named.keys, named.names
    declared = find_declared_strategies(strategies, config, rows)
    own, has_others = split_off(rows, declared, settings.max_results_assets)
    synced = build_sync_assets(own, schedules, config, declared=declared, keys=keys, names=names, has_others=has_others)
    others = [dg.AssetsDefinition(specs=[make_spec(names, OWNERS)])] if has_others else []
    compared = build_comparison_asset(keys, names)
    project = Project(settings.dbt_project) if settings.dbt_project else None
    models = load_model_specs(project) if project else NO_MODELS
    published = build_publication_assets(
        project, models, sorted([*synced.keys, *compared.keys]), keys=keys, names=names
    )
    delivered = build_delivery_assets(config, keys, names)
    parts = [synced, compared, published, *delivered]
    executable = translate(mark_sandbox(parts, settings.data_dir), translator)
    loaded = executable[:2]
    jobs = build_jobs(loaded, executable[2:], names, dict(settings.publish_tags))
    store = build_store_resource(settings, account)
    sensing = SensorSettings(
        acknowledge=config.acknowledge, most=settings.schedules_per_run, publish_every=settings.publish_every
    )
    slugs = None if has_others else {*declared, *(row.slug for row in rows)}
    sensed = {
        job: [key for definition in part for key in sorted(definition.keys)]
        for job, part in ((SYNC, executable), (LOAD, loaded))
    }
    return dg.Definitions(
        assets=[*executable, *translate(others, translator)],
        jobs=[*jobs.values(), *build_decision_jobs(names)],
        schedules=[build_hourly_schedule(jobs[SYNC], names)],
        sensors=[build_schedule_sensor(jobs, slugs, assets=sensed, settings=sensing, keys=keys, names=names)],
        resources={
            names.qualify(METER_RESOURCE): MeterResource(
                api_key_variable=account.api_key.env_var_name if account.api_key is not None else None,
                base_url=settings.base_url,
                api_prefix=settings.api_prefix,
                max_requests_per_second=settings.max_requests_per_second,
            ),
            names.qualify(STORE_RESOURCE): store,
            names.qualify(LAKE_IO_MANAGER): LakeIOManager(store=store, key_prefix=list(keys.prefix)),
        },
        executor=dg.in_process_executor,
    )


def build_store_resource(settings: Settings, account: Account = Account()) -> StoreResource:
    """Builds the store resource. URLs of shared stores stay in the environment, since they may hold a password."""
    return StoreResource(
        data_dir=str(settings.data_dir),
        config=str(settings.config) if settings.config else None,
        **account.store_fields(settings),
    )


def read_config(settings: Settings) -> Config:
    """Reads `meter.yaml`; returns an empty configuration and logs a warning if it is not valid."""
    try:
        return load_config(settings.config)
    except ConfigError as error:
        _log.warning("meter.yaml is ignored; its owners and declared strategies are not shown: %s", error)
        return Config()


def read_ledger(settings: Settings) -> tuple[list[StrategyRow], list[ScheduleRow]]:
    """Reads the strategies and schedules in the ledger; returns none and logs a warning if it cannot be read."""
    from meter_pipeline.store.errors import StoreError

    if not settings.ledger_url and not Path(settings.ledger).exists():
        return [], []
    try:
        with open_ledger(settings) as ledger:
            return sorted(ledger.strategies(), key=lambda strategy: strategy.slug), ledger.schedules()
    except StoreError as error:
        _log.warning("the ledger cannot be read, so only declared strategies have results assets: %s", error)
        return [], []
