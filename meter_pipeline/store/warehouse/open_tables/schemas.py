"""Iceberg schemas of the lake's tables, and how a table's schema follows the columns of its parts.

The parts have no field ids, so engines find columns by a mapping from names, of which a table has one for all of its
snapshots. A column that returns with another type would get another id, and older snapshots would read NULL instead of
it. So a schema may only gain and lose columns; any other change needs a new table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table, Transaction
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import ListType, MapType, NestedField, StructType

STRATEGY = "strategy"


def make_schema(columns: pa.Schema, *, has_strategy: bool) -> tuple[Schema, PartitionSpec]:
    """A schema for a new table, and how it is partitioned.

    Args:
        columns: The columns of the parts.
        has_strategy: Whether the table has the parts of all strategies. Their slug is a column that no part has:
            engines read it from the partition.
    """
    own = [pa.field(STRATEGY, pa.string())] if has_strategy else []
    schema = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(pa.schema([*own, *columns])))
    if not has_strategy:
        return schema, PartitionSpec()
    place = schema.find_field(STRATEGY).field_id
    return schema, PartitionSpec(PartitionField(place, PARTITION_FIELD_ID_START, IdentityTransform(), STRATEGY))


def can_follow(table: Table, schema: Schema) -> bool:
    """Whether the table's schema can become this one while every snapshot still reads the same."""
    current, wanted = _spell_types(table.schema()), _spell_types(schema)
    known = {path: kind for older in table.schemas().values() for path, kind in _spell_types(older).items()}
    return all(path not in known or (known[path] == kind and path in current) for path, kind in wanted.items())


def follow(change: Transaction, schema: Schema, *, is_whole: bool) -> None:
    """Adds the columns of `schema` that a table lacks; if it `is_whole`, also drops those that it lacks itself."""
    current, wanted = _spell_types(change.table_metadata.schema()), _spell_types(schema)
    added, dropped = wanted.keys() - current.keys(), current.keys() - wanted.keys() if is_whole else set()
    if not added and not dropped:
        return
    with change.update_schema() as update:
        if added:
            update.union_by_name(schema)
        for path in dropped:
            if not any(path[:length] in dropped for length in range(1, len(path))):
                update.delete_column(path)


def _spell_types(schema: Schema) -> dict[tuple[str, ...], str]:
    """The fields by path; of a struct, list or map, only that it is one, since its fields have paths as well."""
    return dict(_walk((), schema.fields))


def _walk(path: tuple[str, ...], fields: Sequence[NestedField]) -> Iterator[tuple[tuple[str, ...], str]]:
    for field in fields:
        inner = (*path, field.name)
        if isinstance(field.field_type, StructType | ListType | MapType):
            yield inner, type(field.field_type).__name__
            yield from _walk(inner, _list_fields(field.field_type))
        else:
            yield inner, str(field.field_type)


def _list_fields(kind: StructType | ListType | MapType) -> Sequence[NestedField]:
    if isinstance(kind, StructType):
        return kind.fields
    return (kind.element_field,) if isinstance(kind, ListType) else (kind.key_field, kind.value_field)
