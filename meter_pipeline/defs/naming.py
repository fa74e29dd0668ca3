"""How the assets are grouped, owned and described in somebody's own Dagster project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class MeterTranslator:
    """Groups and owners of the assets; the default leaves them as they are. Override `spec` for more.

    Attributes:
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets: `team:name` or an e-mail address.
    """

    group: str | None = None
    owners: Sequence[str] | None = None

    def spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """The asset as this project shows it. Its key has to stay: the step that fills it goes by it."""
        return spec.replace_attributes(group_name=self.group or spec.group_name, owners=self.owners or spec.owners)


def translated(assets: Sequence[dg.AssetsDefinition], translator: MeterTranslator | None) -> list[dg.AssetsDefinition]:
    """The assets as the translator has them."""
    if translator is None:
        return list(assets)
    return [one.map_asset_specs(translator.spec) for one in assets]
