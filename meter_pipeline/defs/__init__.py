"""What Dagster shows: assets, checks, jobs, schedules and the resources they stand on."""

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
from meter_pipeline.defs.assets import meter_assets
from meter_pipeline.defs.comparisons import job_comparisons
from meter_pipeline.defs.declared import declared_strategies
from meter_pipeline.defs.io import LakeIOManager
from meter_pipeline.defs.keys import LAKE_IO_MANAGER, METER_RESOURCE, STORE_RESOURCE
from meter_pipeline.defs.models import NOTHING, model_specs
from meter_pipeline.defs.naming import MeterTranslator, translated
from meter_pipeline.defs.provenance import marked
from meter_pipeline.defs.resources import MeterResource, StoreResource
from meter_pipeline.defs.schedules import hourly, sync_job
from meter_pipeline.defs.sensors import schedule_changes
from meter_pipeline.defs.warehouse import publication_assets
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
    """Everything about Meter for a Dagster project of one's own: assets, checks, the job, schedule and sensor.

    Several accounts in one code location: call this once for each, with a `key_prefix` and a data folder of its own.

    Args:
        settings: Where the API and the data are; `METER_*` of the environment by default.
        translator: Keys, groups, owners and names as the project has them.
        strategies: Names or slugs of strategies whose results assets are there before any sync.
        api_key: The variable that holds the key; `METER_API_KEY` by default. With a key of its own, the ledger and the
            lake are in the data folder unless they are given, too.
        ledger_url: SQLAlchemy URL or path of the ledger, or the variable that holds it.
        lake_url: URL or path of the lake, or the variable that holds it.

    Raises:
        SettingsError: A setting cannot be used, or holds a secret that would become part of the definitions.

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
    """Everything that Dagster shows for the data of `settings`.

    The strategies are those that the ledger knows at this moment, and those that are declared: no call to the API is
    made. Secrets are read from the environment when a run needs them and are no part of the definitions.
    """
    for line in misspellings():
        _log.warning("%s", line)
    settings = account.settings(settings)
    rows, schedules = known(settings)
    said = known_config(settings)
    shown = translator or MeterTranslator()
    keys, names = shown.keys, shown.names
    declared = declared_strategies(strategies, said, rows)
    synced = meter_assets(rows, schedules, said, declared=declared, keys=keys, names=names)
    compared = job_comparisons(keys, names)
    project = Project(settings.dbt_project) if settings.dbt_project else None
    models = model_specs(project) if project else NOTHING
    published = publication_assets(project, models, sorted([*synced.keys, *compared.keys]), keys=keys, names=names)
    assets = translated(marked([synced, compared, published], settings.data_dir), translator)
    job = sync_job(assets, names)
    store = store_resource(settings, account)
    slugs = {*declared, *(row.slug for row in rows)}
    return dg.Definitions(
        assets=assets,
        jobs=[job],
        schedules=[hourly(job, names)],
        sensors=[schedule_changes(job, slugs, acknowledge=said.acknowledge, names=names)],
        resources={
            names.shown(METER_RESOURCE): MeterResource(
                api_key_variable=account.api_key.env_var_name if account.api_key is not None else None,
                base_url=settings.base_url,
                api_prefix=settings.api_prefix,
                max_requests_per_second=settings.max_requests_per_second,
            ),
            names.shown(STORE_RESOURCE): store,
            names.shown(LAKE_IO_MANAGER): LakeIOManager(store=store, key_prefix=list(keys.prefix)),
        },
        executor=dg.in_process_executor,
    )


def store_resource(settings: Settings, account: Account = Account()) -> StoreResource:
    """The store of `settings`; URLs of shared stores stay in the environment, since they may hold a password."""
    return StoreResource(
        data_dir=str(settings.data_dir),
        config=str(settings.config) if settings.config else None,
        **account.store_fields(settings),
    )


def known_config(settings: Settings) -> Config:
    """What `meter.yaml` says; nothing, and a warning, when it cannot be read: the next run says why."""
    try:
        return load_config(settings.config)
    except ConfigError as error:
        _log.warning("meter.yaml is left out, its owners and declared strategies are not shown: %s", error)
        return Config()


def known(settings: Settings) -> tuple[list[StrategyRow], list[ScheduleRow]]:
    """The strategies and schedules in the ledger; none, with a warning, when it cannot be read: a run says why."""
    from meter_pipeline.store.errors import StoreError

    if not settings.ledger_url and not Path(settings.ledger).exists():
        return [], []
    try:
        with open_ledger(settings) as ledger:
            return sorted(ledger.strategies(), key=lambda strategy: strategy.slug), ledger.schedules()
    except StoreError as error:
        _log.warning("results assets are not shown: %s", error)
        return [], []
