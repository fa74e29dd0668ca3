"""The assets `deliveries/<target>`: the published warehouse in another database, one for each target."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from meter_pipeline.config.deliveries import DeliveryConfigError, DeliveryTarget
from meter_pipeline.config.meter_yaml import Config, load_config
from meter_pipeline.config.variables import read_variable
from meter_pipeline.defs.assets.models import OWNERS
from meter_pipeline.defs.failures import fail_in_one_line, make_failure
from meter_pipeline.defs.keys import STORE_RESOURCE, WAREHOUSE, make_delivery_key
from meter_pipeline.defs.metadata.origin import describe_origin
from meter_pipeline.defs.naming import Keys, Names

if TYPE_CHECKING:
    from meter_pipeline.defs.resources import StoreResource
    from meter_pipeline.store.warehouse.delivery.deliver import Delivery


def build_delivery_assets(config: Config, keys: Keys = Keys(), names: Names = Names()) -> list[dg.AssetsDefinition]:
    """Builds the assets. Each is a step of its own: a target that is down keeps no other from what is new.

    Args:
        config: The contents of `meter.yaml`.
        keys: Translates between the project's asset keys and this package's.
        names: Names of the steps and their resource in this code location.
    """
    return [_build(target, keys, names) for target in config.deliver.values()]


def _build(target: DeliveryTarget, keys: Keys, names: Names) -> dg.AssetsDefinition:
    store_key = names.qualify(STORE_RESOURCE)
    key = make_delivery_key(target.name)

    @dg.multi_asset(
        name=names.qualify(f"deliver_{target.name}"),
        specs=[
            dg.AssetSpec(
                key,
                deps=[WAREHOUSE],
                description=f"The tables {', '.join(f'`{pattern}`' for pattern in target.tables)} of the published "
                f"warehouse in the target `{target.name}`. Each publication arrives whole or not at all.",
                group_name="deliveries",
                kinds={_KINDS.get(target.kind) or str(target.kind)},
                owners=OWNERS,
            )
        ],
        required_resource_keys={store_key},
    )
    def deliver(context: dg.AssetExecutionContext) -> Iterator[Any]:
        store: StoreResource = getattr(context.resources, store_key)
        with fail_in_one_line(context.log):
            delivery = _deliver(store, target.name)
        for note in delivery.notes:
            context.log.warning(note)
        what = "has it already" if delivery.unchanged else f"{delivery.rows:,} rows sent in {delivery.seconds} s"
        context.log.info(f"{delivery.where}: publication {delivery.publication_id}, {what}")
        yield dg.MaterializeResult(
            keys.add_prefix(key),
            metadata={**describe_origin(store.settings().data_dir), **_describe(delivery)},
            data_version=dg.DataVersion(delivery.publication_id),
        )

    return deliver


# Where Dagster has another name for a kind of database.
_KINDS = {None: "table", "postgresql": "postgres"}


def _deliver(store: "StoreResource", name: str) -> "Delivery":
    from meter_pipeline.connect import open_ledger
    from meter_pipeline.host.extras import MissingExtraError
    from meter_pipeline.store.warehouse.delivery.deliver import deliver

    settings = store.settings()
    # Read again: the address may have changed since the definitions were loaded.
    target = load_config(settings.config).deliver.get(name)
    if target is None:
        raise make_failure(f"meter.yaml has no target {name!r} any more: reload the definitions", retry=False)
    try:
        with open_ledger(settings) as ledger:
            address = target.resolve(read_variable)
            return deliver(ledger, store.warehouse, target, address, lake_url=settings.lake)
    except (DeliveryConfigError, MissingExtraError) as error:
        raise make_failure(str(error), retry=False) from None


def _describe(delivery: "Delivery") -> dict[str, Any]:
    return {
        "target": delivery.where,
        "publication": delivery.publication_id,
        "rows": delivery.rows,
        "seconds": delivery.seconds,
        "tables": dg.MetadataValue.json(dict(delivery.tables)),
        "unchanged": delivery.unchanged,
    }
