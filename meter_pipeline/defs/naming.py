"""How the assets are called, grouped and owned in somebody's own Dagster project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class MeterTranslator:
    """Keys, groups and owners of the assets; the default leaves them as they are. Override a method for more.

    Attributes:
        key_prefix: Goes before every key, as `["scraping"]` for `scraping/meter/jobs`.
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets: `team:name` or an e-mail address.
    """

    key_prefix: Sequence[str] = ()
    group: str | None = None
    owners: Sequence[str] | None = None

    def key(self, key: dg.AssetKey) -> dg.AssetKey:
        """The key of an asset of ours in this project."""
        return dg.AssetKey([*self.key_prefix, *key.path])

    def spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """The asset as this project shows it; its key and the keys it depends on have been translated already."""
        changes = {"group_name": self.group or spec.group_name, "owners": self.owners or spec.owners}
        return spec.replace_attributes(**changes)
