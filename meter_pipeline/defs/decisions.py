"""The jobs `hold_jobs`, `release_jobs`, `drop_jobs` and `audit_again`: a person's decisions, from the Launchpad."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.defs.failures import fail_in_one_line
from meter_pipeline.defs.keys import POOL, STORE_RESOURCE
from meter_pipeline.defs.naming import Names
from meter_pipeline.defs.resources import StoreResource

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger

#: Tag of these jobs and their runs: what is decided.
TAG = "meter/decision"
_NEXT = "The next sync materialises the assets that it changes, and publishing shows it in the warehouse."


class _JobsConfig(dg.Config):
    jobs: list[str] = Field(
        default=[], description="Ids of jobs at Meter, as the checks and `meter.jobs` name them. At least one."
    )


class WithdrawConfig(_JobsConfig):
    """Which jobs are held or dropped, and why."""

    reason: str | None = Field(default=None, description="Why, for whoever sees the jobs in `meter.jobs`.")


class ReleaseConfig(_JobsConfig):
    """Which jobs are released."""

    all_like: str | None = Field(
        default=None,
        description="Id of a held job: it is released, with all jobs of its strategy that failed mostly the "
        "same tests.",
    )
    items: bool = Field(
        default=False,
        description="Whether rejected items of these jobs are let in, of accepted ones, too: NaN becomes null, and "
        "an item that cannot be mended stays out.",
    )


class AuditConfig(dg.Config):
    """Whose jobs are judged again, and whether that counts."""

    strategies: list[str] = Field(default=[], description="Ids or slugs of strategies; all without.")
    apply: bool = Field(
        default=False, description="Whether jobs are held and accepted as the new verdicts say; else they are shown."
    )


@dataclass(frozen=True)
class _Kind:
    """A kind of decision: what it does, in words, and what its job takes."""

    verb: str
    description: str
    schema: type[_JobsConfig]


_KINDS = (
    _Kind(
        "hold",
        "Holds accepted jobs: results and change feed become as if they had never been accepted. Their items stay "
        "in raw, and `release_jobs` takes it back.",
        WithdrawConfig,
    ),
    _Kind("release", "Accepts held jobs: their items enter results and change feed as they are.", ReleaseConfig),
    _Kind(
        "drop",
        "Throws jobs away for good: their items leave results, change feed and raw, and no sync loads them again "
        "unless somebody names them (`meter-pipeline sync --job JOB --again`).",
        WithdrawConfig,
    ),
)


def build_decision_jobs(names: Names = Names()) -> list[dg.JobDefinition]:
    """Builds the jobs; each takes the ids of the jobs at Meter as its configuration.

    Args:
        names: Names of the jobs, their pool and the store's resource in this code location.
    """
    return [*(_build_job(kind, names) for kind in _KINDS), _build_audit(names)]


def _build_job(kind: _Kind, names: Names) -> dg.JobDefinition:
    verb, description = kind.verb, f"{kind.description} {_NEXT}"
    store_key = names.qualify(STORE_RESOURCE)

    @dg.op(
        name=names.qualify(f"meter_{verb}"),
        description=description,
        config_schema=kind.schema.to_config_schema(),
        out=dg.Out(dg.Nothing),
        # Waits for a sync that runs, where a strategy that is being loaded would be refused.
        pool=names.qualify(POOL),
        required_resource_keys={store_key},
        tags={TAG: verb},
    )
    def decide(context: dg.OpExecutionContext) -> Iterable[Any]:
        from meter_pipeline.sync.loading.by_hand import Request, decide_by_hand

        meter_store: StoreResource = getattr(context.resources, store_key)
        request = Request(verb, **kind.schema(**context.op_config).model_dump())
        with fail_in_one_line(context.log):
            config = load_config(meter_store.settings().config)
            with meter_store.open() as store:
                decided = decide_by_hand(store.ledger, store.lake, request, config)
        for own in decided:
            for line in own.describe(request):
                context.log.info(line)
            if own.trouble is not None:
                context.log.warning(own.trouble)
        yield dg.Output(
            None,
            metadata={
                "jobs": sum(own.jobs for own in decided),
                "items": sum(own.items for own in decided),
                "strategies": ", ".join(own.slug for own in decided),
            },
        )

    @dg.job(
        name=names.qualify(f"{verb}_jobs"),
        description=description,
        tags={TAG: verb},
        executor_def=dg.in_process_executor,
    )
    def decision_job() -> None:
        decide()

    return decision_job


def _build_audit(names: Names) -> dg.JobDefinition:
    description = (
        "Judges loaded jobs again with the rules of today, in order of time and without the API. With `apply` it holds "
        f"and accepts jobs accordingly; what a person decided stands. {_NEXT}"
    )
    store_key = names.qualify(STORE_RESOURCE)

    @dg.op(
        name=names.qualify("meter_audit"),
        description=description,
        config_schema=AuditConfig.to_config_schema(),
        out=dg.Out(dg.Nothing),
        pool=names.qualify(POOL),
        required_resource_keys={store_key},
        tags={TAG: "audit"},
    )
    def audit(context: dg.OpExecutionContext) -> Iterable[Any]:
        from meter_pipeline.sync import DecisionError
        from meter_pipeline.sync.loading.by_hand import audit_by_hand

        meter_store: StoreResource = getattr(context.resources, store_key)
        asked = AuditConfig(**context.op_config)
        with fail_in_one_line(context.log):
            config = load_config(meter_store.settings().config)
            with meter_store.open() as store:
                ids = _find_strategies(store.ledger, asked.strategies)
                audits, problems = audit_by_hand(store.ledger, store.lake, ids, config, apply=asked.apply)
            for own in audits:
                for change in own.changes:
                    context.log.info(
                        f"{own.slug}: job {change.job_id}: {change.now}, now {change.then}: {change.reason}"
                    )
            if problems:
                raise DecisionError("; ".join(problems))
        yield dg.Output(
            None,
            metadata={
                "jobs": sum(own.jobs for own in audits),
                "held": sum(own.held for own in audits),
                "accepted": sum(own.accepted for own in audits),
                "restated": sum(own.restated for own in audits),
                "applied": asked.apply,
            },
        )

    @dg.job(
        name=names.qualify("audit_again"),
        description=description,
        tags={TAG: "audit"},
        executor_def=dg.in_process_executor,
    )
    def audit_job() -> None:
        audit()

    return audit_job


def _find_strategies(ledger: "Ledger", wanted: Iterable[str]) -> list[str]:
    """Ids of strategies, given by id or slug; of all if none are given."""
    from meter_pipeline.store.ledger.rows import find_meant
    from meter_pipeline.sync import DecisionError

    rows = ledger.strategies()
    known = {name: row.strategy_id for row in rows for name in (row.strategy_id, row.slug)}
    for name in wanted:
        if name not in known:
            way_out = find_meant(rows, name, "see `meter-pipeline strategies list`")
            raise DecisionError(f"no strategy {name!r}: {way_out}")
    return [known[name] for name in wanted] or [row.strategy_id for row in rows]
