"""Records of Parquet files, read by pyarrow, which is asked for only where there is such a file."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sightline.data.compression import file_blocks
from sightline.data.json_records import values_at
from sightline.data.sources import Column
from sightline.data.text import BadRecord, refuse
from sightline.errors import DataError, UsageError, nearest
from sightline.jsonio import Json

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_BATCH = 1024  # records in memory at a time
_MAGIC = b"PAR1"


def require_pyarrow(where: object) -> None:
    """Raises UsageError where the package that reads and writes Parquet is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{where}: is Parquet, and pyarrow is not installed; pip install 'sightline[parquet]', or save it as JSON "
            "Lines or CSV"
        ) from None


def parquet_names(path: Path) -> list[str]:
    """The names of its columns. Raises as `parquet_values` does."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def parquet_count(path: Path) -> int:
    """How many records there are. Raises as `parquet_values` does."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def parquet_records(
    path: Path, columns: Sequence[Column], label: Column | None, bad: BadRecord = refuse
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(number, the wanted columns) of each record, as `sightline.data.records.read_records` gives them."""
    keys = [_key(path, column) for column in columns]
    label_key = None if label is None else _key(path, label)
    for number, record in parquet_values(path, keys, texts=[key for key in keys if key != label_key]):
        try:
            values = values_at(record, keys, label_key, f"{path}:{number}")
        except DataError as error:
            bad(error)
        else:
            yield number, values


def parquet_values(path: Path, keys: Sequence[str], texts: Sequence[str] = ()) -> Iterator[tuple[int, Json]]:
    """(number from 1, record) of a file, with the columns that `keys` reach into.

    Args:
        texts: those of the keys whose columns must hold text.

    Raises:
        DataError: where the file is missing, damaged, no Parquet, or has another type in a column of text.
        UsageError: where there is no such column, or pyarrow is not installed.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        tops = list(dict.fromkeys(_top(path, key, schema.names) for key in keys))
        for key in texts:
            kind = str(schema.field(key).type) if key in schema.names else "string"
            if not kind.removeprefix("dictionary<values=").startswith(("string", "large_string")):
                raise DataError(f'{path}: column "{key}" holds {kind}, and no text; choose another column')
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH, columns=tops):
            for record in batch.to_pylist():
                number += 1
                yield number, record


def _key(path: Path, column: Column) -> str:
    if isinstance(column, str):
        return column
    names = parquet_names(path)
    if not 0 <= column < len(names):
        raise UsageError(f"{path}: has {len(names)} columns, column {column} wanted (counted from 0)")
    return names[column]


def _top(path: Path, key: str, names: Sequence[str]) -> str:
    """The column of the file that a key is, or reaches into."""
    top = key if key in names else key.split(".")[0]
    if top not in names:
        raise UsageError(f'{path}: no column is named "{top}"{nearest(top, names)}')
    return top


@contextmanager
def _opened(path: Path) -> Generator[ParquetFile, None, None]:
    """The file, unpacked where gzip or zstd packed it. Raises DataError for what is wrong with it while it is open."""
    require_pyarrow(path)
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    with _seekable(path) as file:
        try:
            yield ParquetFile(file)
        except (ArrowException, OSError, EOFError) as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"{path}: is damaged or no Parquet ({reason}); fetch or write it again") from None


@contextmanager
def _seekable(path: Path) -> Generator[IO[Any], None, None]:
    head = next(file_blocks(path), b"")  # tells of a file that cannot be read
    if not head:
        raise DataError(f"{path}: the file is empty; give one with records in it")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) == _MAGIC or not head.startswith(_MAGIC):
            file.seek(0)
            yield file
            return
    with tempfile.TemporaryFile() as unpacked:
        for block in file_blocks(path):
            unpacked.write(block)
        unpacked.seek(0)
        yield unpacked
