"""Converts the time partitions of a run into windows of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meter_pipeline.store.lake.windows import Window


def find_windows(step: Any) -> list[Window] | None:
    """Returns the windows of the partitions that a step materialises, in order; `None` if it needs all rows.

    An asset that is not partitioned by time needs all rows. With several dimensions, the one of time counts.

    Args:
        step: Dagster's context of the step.
    """
    from dagster._core.definitions.partitions.context import partition_loading_context
    from dagster._core.definitions.partitions.utils import has_one_dimension_time_window_partitioning

    from meter_pipeline.store.lake.windows import Window, merge

    # A partitioned run can hold assets that are not partitioned, so each asset's definition decides.
    definition = step.entity_partitions_def if step.assets_def is not None else step.run_partitions_def
    if not step.has_partitions or not has_one_dimension_time_window_partitioning(definition):
        return None
    with partition_loading_context(dynamic_partitions_store=step.instance):
        keys = definition.get_partition_keys_in_range(step.partition_key_range)
    return merge(Window(*definition.time_window_for_partition_key(key)) for key in keys)
