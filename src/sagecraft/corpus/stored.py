"""Stored documents: single documents of artifacts by their position, without reading the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sagecraft.corpus.documents import DOCUMENTS
from sagecraft.errors import UserError


class StoredDocuments:
    """Documents of several folders, counted through in the order of the folders and their shards.

    Only the row groups (256 documents) that hold a wanted one are read.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        #: (file, row group, position of its first document)
        self._groups: list[tuple[Path, int, int]] = []
        self._size = 0
        for folder in folders:
            if not (folder / DOCUMENTS).is_dir():
                raise UserError(
                    f"{folder}: holds no documents (no folder `{DOCUMENTS}`); make them with `sagecraft ingest`"
                )
            for file in sorted((folder / DOCUMENTS).glob("*.parquet")):
                try:
                    footer = pq.read_metadata(file)
                except pa.ArrowInvalid as error:
                    raise UserError(f"{file}: damaged Parquet; delete the artifact and run its stage again") from error
                for number in range(footer.num_row_groups):
                    self._groups.append((file, number, self._size))
                    self._size += footer.row_group(number).num_rows

    def __len__(self) -> int:
        return self._size

    def texts(self, positions: Iterable[int]) -> Iterator[str]:
        """Texts of documents; positions ascend."""
        return (row[0] for row in self._rows(positions, ["text"]))

    def ids(self, positions: Iterable[int]) -> dict[int, str]:
        """Identifiers by position; positions ascend."""
        wanted = [int(position) for position in positions]
        return dict(zip(wanted, (row[0] for row in self._rows(wanted, ["id"])), strict=True))

    def _rows(self, positions: Iterable[int], columns: list[str]) -> Iterator[tuple[Any, ...]]:
        import bisect

        import pyarrow.parquet as pq

        starts = [start for _, _, start in self._groups]
        for number, wanted in itertools.groupby(positions, key=lambda position: bisect.bisect(starts, position) - 1):
            path, group, start = self._groups[number]
            with pq.ParquetFile(path) as file:
                table = file.read_row_group(group, columns=columns, use_threads=False)
            chosen = table.take([position - start for position in wanted])
            yield from zip(*(column.to_pylist() for column in chosen.columns), strict=True)
