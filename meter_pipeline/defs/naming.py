"""How the assets are called, grouped, owned and described in somebody's own Dagster project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from meter_pipeline.config.settings import SettingsError

_ODD = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class MeterTranslator:
    """Keys, groups and owners of the assets; the default leaves them as they are. Override `spec` for more.

    Attributes:
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets: `team:name` or an e-mail address.
        key_prefix: What all keys begin with: `["web"]` makes `web/results/new_books` of `results/new_books`.
        name: What the names of everything else end in, so that several instances live in one code location: `web` makes
            the job `sync_web` and the resource `meter_web`. By default it is the prefix, joined by `_`; with an empty
            text the names stay as they are.
    """

    group: str | None = None
    owners: Sequence[str] | None = None
    key_prefix: Sequence[str] = ()
    name: str | None = None

    def spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """The asset as this project shows it. Its key stays as it is here: the step that fills it goes by it."""
        return spec.replace_attributes(group_name=self.group or spec.group_name, owners=self.owners or spec.owners)

    @property
    def keys(self) -> Keys:
        """The keys with and without the prefix."""
        return Keys(tuple(self.key_prefix))

    @property
    def names(self) -> Names:
        """The names of jobs, schedules, sensors, resources, steps and pools.

        Raises:
            SettingsError: Dagster takes no such name.
        """
        if self.name is None:
            return Names(_ODD.sub("_", "_".join(self.key_prefix)))
        if _ODD.search(self.name):
            raise SettingsError(f"name {self.name!r} holds something else than letters, digits and _: write it with _")
        return Names(self.name)


@dataclass(frozen=True)
class Names:
    """Names of jobs, schedules, sensors, resources, steps and pools: one set for each instance in a code location."""

    instance: str = ""

    def shown(self, name: str) -> str:
        """The instance's name for what is called `name` in a code location with one instance."""
        return f"{name}_{self.instance}" if self.instance else name


@dataclass(frozen=True)
class Keys:
    """Keys as a project shows them, and as this package calls them: without the project's prefix."""

    prefix: tuple[str, ...] = ()

    def shown(self, key: dg.AssetKey) -> dg.AssetKey:
        """The project's key of one of this package's assets."""
        return dg.AssetKey([*self.prefix, *key.path])

    def own(self, key: dg.AssetKey) -> dg.AssetKey:
        """This package's key; one that does not have the prefix stays as it is."""
        size = len(self.prefix)
        return dg.AssetKey(key.path[size:]) if size and tuple(key.path[:size]) == self.prefix else key

    def selected(self, context: Any) -> set[dg.AssetKey]:
        """The assets that a step is to materialise, in this package's keys."""
        return set(map(self.own, context.selected_asset_keys))

    def selected_checks(self, context: Any) -> set[dg.AssetCheckKey]:
        """The checks that a step is to evaluate, in this package's keys."""
        return {dg.AssetCheckKey(self.own(one.asset_key), one.name) for one in context.selected_asset_check_keys}

    def told(self, events: Iterable[Any]) -> Iterable[Any]:
        """The step's results under the project's keys."""
        for event in events:
            yield event._replace(asset_key=self.shown(event.asset_key)) if self.prefix else event


def translated(assets: Sequence[dg.AssetsDefinition], translator: MeterTranslator | None) -> list[dg.AssetsDefinition]:
    """The assets as the translator has them."""
    if translator is None:
        return list(assets)
    found = [one.map_asset_specs(translator.spec) for one in assets]
    if not translator.key_prefix:
        return found
    keys = {key: translator.keys.shown(key) for one in found for key in one.keys}
    return [one.with_attributes(asset_key_replacements=keys) for one in found]
