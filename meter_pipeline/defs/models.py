"""The models of the dbt project as assets, their tests as checks: keys, groups and owners as dagster-dbt has them.

The decorator `@dbt_assets` gives the specs; the step that builds the models is the one that publishes them, see
`defs.warehouse`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.store.warehouse.dbt import ProjectError
from meter_pipeline.text.printable import PrintableLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meter_pipeline.store.warehouse.dbt import Project

OWNERS = ["team:data"]
_log = logging.getLogger(__name__)
_log.addFilter(PrintableLog())


@dataclass(frozen=True)
class ModelSpecs:
    """The models as assets: specs, checks, and the asset keys of models and sources by dbt's unique id.

    Attributes:
        specs: An asset for each model.
        checks: A check for each test.
        keys: Of the models.
        sources: Of the sources that are an asset's own table.
    """

    specs: Sequence[dg.AssetSpec]
    checks: Sequence[dg.AssetCheckSpec]
    keys: Mapping[str, dg.AssetKey]
    sources: Mapping[str, dg.AssetKey]

    @property
    def check_ids(self) -> Mapping[str, dg.AssetCheckSpec]:
        """The check of each test by dbt's unique id."""
        return {str(spec.metadata["dagster_dbt/unique_id"]): spec for spec in self.checks if spec.metadata}


NOTHING = ModelSpecs((), (), {}, {})


def model_specs(project: Project) -> ModelSpecs:
    """The assets and checks of a dbt project; none, and a warning, when it cannot be parsed: a run says why."""
    try:
        manifest = project.manifest
    except ProjectError as error:
        _log.warning("dbt models are not shown: %s", error)
        return NOTHING
    return _specs(manifest)


def _specs(manifest: Mapping[str, Any]) -> ModelSpecs:
    # Imported here: it brings in all of dbt, which nothing but the models needs.
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

    class Translator(DagsterDbtTranslator):
        """dagster-dbt's own rules; a layer of the project is a group, and everything has an owner."""

        def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
            return super().get_group_name(dbt_resource_props) or dbt_resource_props["config"].get("schema") or "models"

        def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
            return super().get_owners(dbt_resource_props) or OWNERS

        def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
            # Without the SQL that dagster-dbt appends: it is as long as a page.
            return str(dbt_resource_props.get("description") or dbt_resource_props["name"])

    # Two sources may belong to one asset: schedules and their versions come out of the same step.
    settings = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_source_metadata=False)

    # Never called: only the specs are wanted. A function's return annotation would be read as that of an output.
    models = dbt_assets(manifest=dict(manifest), dagster_dbt_translator=Translator(settings), name="models")(
        lambda: None
    )
    specs = _upstream_first([_plain(spec) for spec in models.specs])
    keys = {str(spec.metadata["dagster_dbt/unique_id"]): spec.key for spec in specs}
    checks = [
        # What else a test looks at is built in the same step, and needs no edge of its own.
        dg.AssetCheckSpec(
            spec.name,
            asset=spec.asset_key,
            description=spec.description or _described(manifest, spec),
            metadata=spec.metadata,
            blocking=spec.blocking,
        )
        for spec in models.check_specs
    ]
    translator = Translator(settings)
    sources = {unique_id: translator.get_asset_key(source) for unique_id, source in manifest["sources"].items()}
    # Other tables of the same step, such as versions of schedules, have columns that the asset does not have.
    own = {id_: key for id_, key in sources.items() if key.path[-1] == manifest["sources"][id_]["name"]}
    return ModelSpecs(specs, checks, keys, own)


def _described(manifest: Mapping[str, Any], spec: dg.AssetCheckSpec) -> str | None:
    """What a test of dbt's looks at; its name says it too, but at length and without spaces."""
    test = manifest["nodes"].get(spec.metadata["dagster_dbt/unique_id"], {}) if spec.metadata else {}
    about = test.get("test_metadata")
    if not about:
        return None
    given = {name: value for name, value in about["kwargs"].items() if name not in ("model", "column_name")}
    column = f" of column `{test['column_name']}`" if test.get("column_name") else ""
    said = "; ".join(f"{name}: {_words(value)}" for name, value in given.items())
    return f"dbt test `{about['name']}`{column}" + (f" ({said})." if said else ".")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _upstream_first(specs: Sequence[dg.AssetSpec]) -> list[dg.AssetSpec]:
    """In the order in which a step may tell of them."""
    by_key = {spec.key: spec for spec in specs}
    order = TopologicalSorter({spec.key: {dep.asset_key for dep in spec.deps} for spec in specs})
    return [by_key[key] for key in order.static_order() if key in by_key]


def _plain(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Without the manifest itself, which dagster-dbt hangs on every asset for steps that run dbt for them."""
    kept = {
        name: value
        for name, value in spec.metadata.items()
        if not name.startswith("dagster_dbt/") or name == "dagster_dbt/unique_id"
    }
    kept["dagster/table_name"] = ".".join(spec.key.path[-2:])
    return spec.replace_attributes(metadata=kept, skippable=True)
