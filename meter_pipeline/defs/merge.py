"""Merges your project's definitions with Meter's, also if an input's strategy is not known yet."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from meter_pipeline.defs.inputs.io_manager import LakeIOManager
from meter_pipeline.defs.keys import find_slug
from meter_pipeline.defs.naming import Keys


def merge_meter_defs(*definitions: dg.Definitions) -> dg.Definitions:
    """Merges definitions as `dagster.Definitions.merge` does, and accepts inputs from strategies that no sync has seen.

    Dagster refuses the whole code location, the sync job included, if no asset defines the input of another asset. Here
    such a `results/<slug>` becomes an external asset, until the strategy is declared, or until a sync has seen it and
    definitions are reloaded. The input is an empty table as long as the strategy has no data.

    Example:
        `defs = merge_meter_defs(build_meter_defs(), dg.Definitions(assets=[cheap_books]))`
    """
    merged = dg.Definitions.merge(*definitions)
    unknown = [_make_external(merged, key) for key in sorted(_find_unknown_keys(merged))]
    external = [spec for spec in unknown if spec is not None]
    return dg.Definitions.merge(merged, dg.Definitions(assets=external)) if external else merged


def _find_unknown_keys(definitions: dg.Definitions) -> set[dg.AssetKey]:
    """Returns the keys that an asset or check depends on and that nothing defines."""
    defined: set[dg.AssetKey] = set()
    wanted: set[dg.AssetKey] = set()
    for asset in [*(definitions.assets or ()), *(definitions.asset_checks or ())]:
        if isinstance(asset, dg.AssetsDefinition):
            defined |= set(asset.keys)
            wanted |= {*asset.keys_by_input_name.values(), *(check.asset_key for check in asset.check_specs)}
        elif isinstance(asset, (dg.AssetSpec, dg.SourceAsset)):
            defined.add(asset.key)
    return wanted - defined


def _make_external(definitions: dg.Definitions, key: dg.AssetKey) -> dg.AssetSpec | None:
    """Returns the external asset for a results key of one of the accounts; None for any other key."""
    for io_manager, slug in _find_readers(definitions, key):
        return dg.AssetSpec(
            key,
            description=f"No sync has seen the strategy {slug}, and it is not declared. Declare it (`strategies`), or "
            "sync and reload definitions.",
            group_name="results",
            kinds={"meter", "parquet"},
        ).with_io_manager_key(io_manager)
    return None


def _find_readers(definitions: dg.Definitions, key: dg.AssetKey) -> Iterator[tuple[str, str]]:
    """Yields the names of the IO managers that read a results key, each with the strategy's slug."""
    for name, resource in (definitions.resources or {}).items():
        if isinstance(resource, LakeIOManager):
            keys = Keys(tuple(resource.key_prefix))
            slug = find_slug(keys.remove_prefix(key))
            if slug is not None and keys.add_prefix(keys.remove_prefix(key)) == key:
                yield name, slug
