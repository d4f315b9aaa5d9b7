"""Parquet as frames of raw cells. First step on the way of the data, beside `csv_file`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelgpt_cli.core.errors import damaged

_MAX_PARQUET_BATCH = 65_536
_FRAME_BYTES = 256 << 20
_PARQUET_BUFFER = 1 << 20


class ParquetFile:
    """A Parquet file, read batch by batch."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        with self._open() as file:
            names = file.schema_arrow.names
            self.expected_rows = file.metadata.num_rows
        self.columns = [name for name in names if not name.startswith("__index_level_")]  # pandas' nameless index

    def _open(self) -> pq.ParquetFile:
        # Arrow's default keeps what it has read ahead until the file is closed: in the end, the whole file.
        try:
            return pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_PARQUET_BUFFER)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.name, error) from error

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The rows as frames of at most `rows` rows or some 256 MB."""
        with self._open() as file:
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
            batch_rows = max(1, min(rows, _MAX_PARQUET_BATCH, int(_FRAME_BYTES / max(1, row_bytes))))
            try:
                for batch in file.iter_batches(batch_size=batch_rows, columns=list(columns)):
                    # pandas' own notes in the file would turn a column into the frame's index; split blocks are not
                    # copied together
                    yield batch.select(list(columns)).replace_schema_metadata(None).to_pandas(split_blocks=True)
            except (pa.ArrowException, OSError) as error:
                raise damaged(self.name, error) from error
