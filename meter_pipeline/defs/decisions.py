"""The jobs `hold_jobs`, `release_jobs` and `drop_jobs`: what a person decides about scrapes, from the Launchpad."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.defs.failures import fail_in_one_line, make_failure
from meter_pipeline.defs.keys import POOL, STORE_RESOURCE
from meter_pipeline.defs.naming import Names
from meter_pipeline.defs.resources import StoreResource

if TYPE_CHECKING:
    from meter_pipeline.config.meter_yaml import Config
    from meter_pipeline.connect import Store

#: Tag of these jobs and their runs: what is decided.
TAG = "meter/decision"
_NEXT = "The next sync materialises the assets that it changes, and publishing shows it in the warehouse."


class _JobsConfig(dg.Config):
    jobs: list[str] = Field(
        default=[], description="Ids of jobs at Meter, as the checks and `meter.jobs` name them. At least one."
    )


class HoldConfig(_JobsConfig):
    """Which jobs are held, and why."""

    reason: str | None = Field(default=None, description="Why, for whoever sees the jobs in `meter.jobs`.")


class DropConfig(HoldConfig):
    """Which jobs are dropped, and why."""


class ReleaseConfig(_JobsConfig):
    """Which jobs are released."""

    all_like: str | None = Field(
        default=None,
        description="Id of a held job: it is released, with all jobs of its strategy that are held for the same "
        "reason; its numbers may differ.",
    )


@dataclass(frozen=True)
class _Changed:
    """Jobs of a strategy that were decided about, and the items that entered or left its results."""

    slug: str
    jobs: int
    items: int


def _hold(store: "Store", settings: HoldConfig, config: "Config") -> list[_Changed]:
    from meter_pipeline.sync import hold

    held = hold(store.ledger, store.lake, settings.jobs, settings.reason, config)
    return [_Changed(own.slug, own.jobs, own.items) for own in held]


def _drop(store: "Store", settings: DropConfig, config: "Config") -> list[_Changed]:
    from meter_pipeline.sync import drop

    dropped = drop(store.ledger, store.lake, settings.jobs, settings.reason, config)
    return [_Changed(own.slug, own.jobs, own.items) for own in dropped]


def _release(store: "Store", settings: ReleaseConfig, config: "Config") -> list[_Changed]:
    from meter_pipeline.sync import release
    from meter_pipeline.sync.loading.release import find_alike

    alike = find_alike(store.ledger, settings.all_like) if settings.all_like else []
    reports = release(store.ledger, store.lake, [*settings.jobs, *alike], config)
    return [_Changed(report.slug, report.accepted, report.items) for report in reports]


def build_decision_jobs(names: Names = Names()) -> list[dg.JobDefinition]:
    """Builds the jobs; each takes the ids of the jobs at Meter as its configuration.

    Args:
        names: Names of the jobs, their pool and the store's resource in this code location.
    """
    return [
        _build_job(
            "hold",
            "held",
            "Holds accepted jobs: results and change feed become as if they had never been accepted. Their items stay "
            "in raw, and `release_jobs` takes it back.",
            HoldConfig,
            _hold,
            names,
        ),
        _build_job(
            "release",
            "released",
            "Accepts held jobs: their items enter results and change feed as they are.",
            ReleaseConfig,
            _release,
            names,
        ),
        _build_job(
            "drop",
            "dropped",
            "Throws jobs away for good: their items leave results, change feed and raw, and no sync loads them again "
            "unless somebody names them (`meter-pipeline sync --job JOB --again`).",
            DropConfig,
            _drop,
            names,
        ),
    ]


def _build_job(
    verb: str,
    done: str,
    description: str,
    schema: type[_JobsConfig],
    apply: Callable[..., list[_Changed]],
    names: Names,
) -> dg.JobDefinition:
    store_key = names.qualify(STORE_RESOURCE)

    @dg.op(
        name=names.qualify(f"meter_{verb}"),
        description=f"{description} {_NEXT}",
        config_schema=schema.to_config_schema(),
        out=dg.Out(dg.Nothing),
        # Waits for a sync that runs, where a strategy that is being loaded would be refused.
        pool=names.qualify(POOL),
        required_resource_keys={store_key},
        tags={TAG: verb},
    )
    def decide(context: dg.OpExecutionContext) -> Iterable[Any]:
        meter_store: StoreResource = getattr(context.resources, store_key)
        settings = schema(**context.op_config)
        with fail_in_one_line(context.log):
            if not settings.jobs and not getattr(settings, "all_like", None):
                raise make_failure(f"no job is named: give the ids of the jobs to be {done}", retry=False)
            config = load_config(meter_store.settings().config)
            with meter_store.open() as store:
                changed = apply(store, settings, config)
        for own in changed:
            context.log.info(f"{own.slug}: {own.jobs:,} jobs {done}, {own.items:,} items")
        yield dg.Output(
            None,
            metadata={
                "jobs": sum(own.jobs for own in changed),
                "items": sum(own.items for own in changed),
                "strategies": ", ".join(own.slug for own in changed),
            },
        )

    @dg.job(
        name=names.qualify(f"{verb}_jobs"),
        description=f"{description} {_NEXT}",
        tags={TAG: verb},
        executor_def=dg.in_process_executor,
    )
    def decision_job() -> None:
        decide()

    return decision_job
