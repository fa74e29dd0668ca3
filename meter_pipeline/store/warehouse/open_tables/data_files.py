"""Entries of Iceberg's manifests for parts of the lake, with the statistics that engines prune by.

They come from the footers of the parts; no row is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from meter_pipeline.store.parts import Part


class Footers:
    """Footers of parts, each read once.

    Args:
        source: Gives a part as PyArrow's readers accept it: a path, or an open file.
    """

    def __init__(self, source: Callable[[Part], Any]) -> None:
        self._source = source
        self._read: dict[str, pq.FileMetaData] = {}

    def columns(self, part: Part) -> pa.Schema:
        """The columns of a part."""
        return self._footer(part).schema.to_arrow_schema()

    def describe(self, part: Part, slug: str, address: str, table: TableMetadata) -> DataFile:
        """The entry of a part in the manifests of a table.

        Args:
            part: The part.
            slug: Its strategy.
            address: Where engines find it.
            table: The table.
        """
        schema, spec = table.schema(), table.spec()
        statistics = data_file_statistics_from_parquet_metadata(
            self._footer(part),
            compute_statistics_plan(schema, table.properties),
            # The slug has a field, but no column in the file.
            parquet_path_to_id_mapping(schema),
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=address,
            file_format=FileFormat.PARQUET,
            partition=Record(*[slug for _ in spec.fields]),
            file_size_in_bytes=part.bytes,
            sort_order_id=None,
            spec_id=table.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def _footer(self, part: Part) -> pq.FileMetaData:
        if part.name not in self._read:
            self._read[part.name] = pq.read_metadata(self._source(part))
        return self._read[part.name]
