"""Marks assets whose data a sandbox made up, since made-up numbers look like any others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from meter_pipeline.config import origin
from meter_pipeline.defs.metadata.entries import Metadata

_ENTRY = "data origin"
_TAG = "meter/sandbox"


def mark_sandbox(assets: Sequence[dg.AssetsDefinition], folder: Path) -> list[dg.AssetsDefinition]:
    """Adds a notice and a tag to the assets if a sandbox filled the data folder; else returns them unchanged.

    The notice comes last and is plain: lists of assets show the beginning of a description, without markdown.
    """
    notice = origin.notice(folder)
    if notice is None:
        return list(assets)

    def mark(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            description=f"{spec.description or ''}\n\n{notice}".lstrip(), tags={**spec.tags, _TAG: "made-up-data"}
        )

    return [definition.map_asset_specs(mark) for definition in assets]


def describe_origin(folder: Path) -> Metadata:
    """Returns metadata that says that a sandbox made up the data; empty for Meter's data."""
    notice = origin.notice(folder)
    return {_ENTRY: notice} if notice is not None else {}
