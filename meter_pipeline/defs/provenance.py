"""Whose data an asset shows: pages of a sandbox's data say so, since made-up numbers look like any others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from meter_pipeline.config import origin
from meter_pipeline.defs.metadata import Metadata

_ENTRY = "whose data"
_TAG = "meter/sandbox"


def marked(assets: Sequence[dg.AssetsDefinition], folder: Path) -> list[dg.AssetsDefinition]:
    """The assets as they are, or marked as a sandbox's where one filled the folder: in description and tags."""
    notice = origin.notice(folder)
    if notice is None:
        return list(assets)

    def mark(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            description=f"**{notice}**\n\n{spec.description or ''}", tags={**spec.tags, _TAG: "made-up-data"}
        )

    return [one.map_asset_specs(mark) for one in assets]


def note(folder: Path) -> Metadata:
    """What a materialisation says of its data: that a sandbox made it up, or nothing."""
    notice = origin.notice(folder)
    return {_ENTRY: notice} if notice is not None else {}
