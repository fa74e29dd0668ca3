"""The dbt project's models as asset specs and its tests as check specs, by the rules of dagster-dbt.

Only the specs of `@dbt_assets` are used; the step in `publication` builds the models and publishes them.
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
    """Specs of the models and tests, and the asset keys of models and sources by dbt's unique id.

    Attributes:
        specs: An asset for each model.
        checks: A check for each test.
        keys: Asset keys of the models.
        sources: Asset keys of the sources that are an asset's main table.
    """

    specs: Sequence[dg.AssetSpec]
    checks: Sequence[dg.AssetCheckSpec]
    keys: Mapping[str, dg.AssetKey]
    sources: Mapping[str, dg.AssetKey]

    @property
    def check_ids(self) -> Mapping[str, dg.AssetCheckSpec]:
        """The check specs by dbt's unique id of the test."""
        return {str(spec.metadata["dagster_dbt/unique_id"]): spec for spec in self.checks if spec.metadata}


NO_MODELS = ModelSpecs((), (), {}, {})


def load_model_specs(project: Project) -> ModelSpecs:
    """Reads the assets and checks of a dbt project; returns none and logs a warning if it cannot be parsed."""
    try:
        manifest = project.manifest
    except ProjectError as error:
        _log.warning("dbt models are not shown: %s", error)
        return NO_MODELS
    return _make_specs(manifest)


def _make_specs(manifest: Mapping[str, Any]) -> ModelSpecs:
    # Imported here: it brings in all of dbt, which nothing but the models needs.
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

    class Translator(DagsterDbtTranslator):
        """The rules of dagster-dbt, with a group per layer of the project and a default owner."""

        def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
            return super().get_group_name(dbt_resource_props) or dbt_resource_props["config"].get("schema") or "models"

        def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
            return super().get_owners(dbt_resource_props) or OWNERS

        def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
            # Without the SQL that dagster-dbt appends: it is as long as a page.
            return str(dbt_resource_props.get("description") or dbt_resource_props["name"])

    # Two sources may belong to one asset: schedules and their versions are filled by the same step.
    settings = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_source_metadata=False)

    # Never called: only the specs are wanted. A function's return annotation would be read as that of an output.
    models = dbt_assets(manifest=dict(manifest), dagster_dbt_translator=Translator(settings), name="models")(
        lambda: None
    )
    specs = _sort_upstream_first([_drop_manifest(spec) for spec in models.specs])
    keys = {str(spec.metadata["dagster_dbt/unique_id"]): spec.key for spec in specs}
    checks = [
        # Other models that a test reads are built in the same step, so the check needs no further dependency.
        dg.AssetCheckSpec(
            spec.name,
            asset=spec.asset_key,
            description=spec.description or _describe_test(manifest, spec),
            metadata=spec.metadata,
            blocking=spec.blocking,
        )
        for spec in models.check_specs
    ]
    translator = Translator(settings)
    sources = {unique_id: translator.get_asset_key(source) for unique_id, source in manifest["sources"].items()}
    # Without the other tables of an asset, such as the versions of schedules, which have other columns.
    main_tables = {
        unique_id: key for unique_id, key in sources.items() if key.path[-1] == manifest["sources"][unique_id]["name"]
    }
    return ModelSpecs(specs, checks, keys, main_tables)


def _describe_test(manifest: Mapping[str, Any], spec: dg.AssetCheckSpec) -> str | None:
    """Describes a generic dbt test by its name, column and arguments; None for other tests."""
    test = manifest["nodes"].get(spec.metadata["dagster_dbt/unique_id"], {}) if spec.metadata else {}
    generic = test.get("test_metadata")
    if not generic:
        return None
    given = {name: value for name, value in generic["kwargs"].items() if name not in ("model", "column_name")}
    column = f" of column `{test['column_name']}`" if test.get("column_name") else ""
    arguments = "; ".join(f"{name}: {_format_value(value)}" for name, value in given.items())
    return f"dbt test `{generic['name']}`{column}" + (f" ({arguments})." if arguments else ".")


def _format_value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _sort_upstream_first(specs: Sequence[dg.AssetSpec]) -> list[dg.AssetSpec]:
    """Sorts the specs so that each one follows those it depends on, as Dagster wants the events of a step."""
    by_key = {spec.key: spec for spec in specs}
    order = TopologicalSorter({spec.key: {dep.asset_key for dep in spec.deps} for spec in specs})
    return [by_key[key] for key in order.static_order() if key in by_key]


def _drop_manifest(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Drops the manifest, which dagster-dbt puts into the metadata of every asset."""
    kept = {
        name: value
        for name, value in spec.metadata.items()
        if not name.startswith("dagster_dbt/") or name == "dagster_dbt/unique_id"
    }
    kept["dagster/table_name"] = ".".join(spec.key.path[-2:])
    return spec.replace_attributes(metadata=kept, skippable=True)
