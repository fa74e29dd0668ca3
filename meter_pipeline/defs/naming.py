"""Keys, groups, owners and names of the definitions in your Dagster project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from meter_pipeline.config.variables import SettingsError

_ODD = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class MeterTranslator:
    """Sets keys, groups and owners of the assets; the default changes nothing. Override `spec` to change more.

    Attributes:
        group: One group for all assets, instead of one for each kind.
        owners: Owners of all assets: `team:name` or an e-mail address.
        key_prefix: Prefix of all keys: `["web"]` makes `web/results/new_books` of `results/new_books`.
        name: Suffix of all other names, so that several accounts fit into one code location: `web` makes the job
            `sync_web` and the resource `meter_web`. By default it is the prefix, joined by `_`; an empty text adds no
            suffix.
    """

    group: str | None = None
    owners: Sequence[str] | None = None
    key_prefix: Sequence[str] = ()
    name: str | None = None

    def spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Returns the spec as your project shows it. Do not change its key here; use `key_prefix`."""
        return spec.replace_attributes(group_name=self.group or spec.group_name, owners=self.owners or spec.owners)

    @property
    def keys(self) -> Keys:
        """The translation between this package's asset keys and the project's."""
        return Keys(tuple(self.key_prefix))

    @property
    def names(self) -> Names:
        """The names of jobs, schedules, sensors, resources, steps and pools.

        Raises:
            SettingsError: The name is not valid in Dagster.
        """
        if self.name is None:
            return Names(_ODD.sub("_", "_".join(self.key_prefix)))
        if _ODD.search(self.name):
            raise SettingsError(
                f"name {self.name!r} may hold only letters, digits and _: replace the other characters with _"
            )
        return Names(self.name)


@dataclass(frozen=True)
class Names:
    """Names of jobs, schedules, sensors, resources, steps and pools, different for each account in a code location."""

    suffix: str = ""

    def qualify(self, name: str) -> str:
        """Returns `name` with this account's suffix."""
        return f"{name}_{self.suffix}" if self.suffix else name


@dataclass(frozen=True)
class Keys:
    """Translates between this package's asset keys and those of a project, which have a prefix."""

    prefix: tuple[str, ...] = ()

    def add_prefix(self, key: dg.AssetKey) -> dg.AssetKey:
        """Returns the project's key of one of this package's assets."""
        return dg.AssetKey([*self.prefix, *key.path])

    def remove_prefix(self, key: dg.AssetKey) -> dg.AssetKey:
        """Returns this package's key; a key without the prefix stays as it is."""
        size = len(self.prefix)
        return dg.AssetKey(key.path[size:]) if size and tuple(key.path[:size]) == self.prefix else key

    def list_selected(self, context: Any) -> set[dg.AssetKey]:
        """Returns the assets that a step is to materialise, as this package's keys."""
        return set(map(self.remove_prefix, context.selected_asset_keys))

    def list_selected_checks(self, context: Any) -> set[dg.AssetCheckKey]:
        """Returns the checks that a step is to evaluate, as this package's keys."""
        return {
            dg.AssetCheckKey(self.remove_prefix(check.asset_key), check.name)
            for check in context.selected_asset_check_keys
        }

    def rename(self, events: Iterable[Any]) -> Iterable[Any]:
        """Yields a step's results under the project's keys."""
        for event in events:
            yield event._replace(asset_key=self.add_prefix(event.asset_key)) if self.prefix else event


def translate(assets: Sequence[dg.AssetsDefinition], translator: MeterTranslator | None) -> list[dg.AssetsDefinition]:
    """Returns the assets with the translator's keys, groups and owners."""
    if translator is None:
        return list(assets)
    translated = [definition.map_asset_specs(translator.spec) for definition in assets]
    if not translator.key_prefix:
        return translated
    keys = {key: translator.keys.add_prefix(key) for definition in translated for key in definition.keys}
    return [definition.with_attributes(asset_key_replacements=keys) for definition in translated]
