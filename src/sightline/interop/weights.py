"""Weights of Hugging Face directories by our names: one reader and one writer over each format's table.

Every tensor of a file is accounted for: it is in the table, or another name of one that is (tied), or ignored with the
reason written beside it. Any other is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import JsonValue, NonNegativeInt
from torch import Tensor, nn

from sightline.errors import CheckpointError, DataError
from sightline.interop.folders import ForeignRecord, as_record, parse_json, present, read_json, regular_file
from sightline.train import storage

WEIGHTS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
Shape = tuple[int, ...]
_LONGEST_HEADER = 100 << 20  # bytes, as the library has it
NO_TOKEN = -1  # in an order of tokens: a row that the other side does not have
# The dtypes of a safetensors header that are numbers as they stand; others need a scale that lies elsewhere.
_BYTES = {name: dtype.itemsize for dtype, name in storage.DTYPE_NAMES.items()}
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class WeightRow:
    """One of our tensors, and what the file has for it. "#" in names is the number of a layer.

    Attributes:
        theirs: the tensors of the file that, stacked along their first dimension, are ours.
        transposed: the file has it (in, out) where we have (out, in). by_token: its rows are tokens, which the two
            sides may number differently. optional: a file may lack it.
    """

    ours: str
    theirs: tuple[str, ...]
    transposed: bool = False
    by_token: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Ignored:
    """Tensors of a file that are not read: those whose whole name matches `pattern`, and why that is right."""

    pattern: str
    reason: str


def linear(ours: str, *theirs: str, transposed: bool = False, optional: bool = False) -> tuple[WeightRow, ...]:
    """The rows of a linear map or a normalisation: weight and bias."""
    weight = WeightRow(f"{ours}.weight", tuple(f"{one}.weight" for one in theirs), transposed, optional=optional)
    return weight, WeightRow(f"{ours}.bias", tuple(f"{one}.bias" for one in theirs), optional=optional)


def for_layers(table: Iterable[WeightRow], num_layers: int) -> Iterator[WeightRow]:
    """The rows with the numbers of layers filled in."""
    for row in table:
        for number in range(num_layers) if "#" in row.ours else (0,):
            theirs = tuple(one.replace("#", str(number)) for one in row.theirs)
            yield replace(row, ours=row.ours.replace("#", str(number)), theirs=theirs)


def prefixed(table: Iterable[WeightRow], prefix: str) -> tuple[WeightRow, ...]:
    """The rows with `prefix` before our names."""
    return tuple(replace(row, ours=prefix + row.ours) for row in table)


def in_order(rows_VD: Tensor, order: Sequence[int]) -> Tensor:
    """Rows of tokens in another order; those of NO_TOKEN are zero. rows_VD may also be a vector."""
    index = torch.tensor(order, dtype=torch.int64)
    found = rows_VD[index.clamp(min=0)]
    found[index == NO_TOKEN] = 0
    return found


class TensorFiles:
    """The tensors of a directory: their names, shapes and dtypes at once, their values when they are read.

    Names are canonical: where no name begins with `prefix` the body was saved without it, and all names but those that
    begin like one of `heads` get it; then `renamed` is applied.

    Raises DataError or CheckpointError where the files are missing, damaged or no safetensors.
    """

    def __init__(
        self, folder: Path, prefix: str, heads: tuple[str, ...] = (), renamed: Callable[[str], str] = str
    ) -> None:
        self.folder = folder
        self._place: dict[str, tuple[Path, str]] = {}  # canonical name → file, name in it
        self._shapes: dict[str, Shape] = {}
        self._dtypes: dict[str, str] = {}
        found = [(path, *entry) for path in _tensor_files(folder) for entry in _header(path)]
        plain = not any(name.startswith(prefix) for _, name, _, _ in found)
        for path, name, shape, dtype in found:
            canonical = renamed(prefix + name if plain and not name.startswith(heads) else name)
            if canonical in self._place:
                raise DataError(f"{folder}: {name} stands in its weights twice; fetch them again")
            self._place[canonical] = path, name
            self._shapes[canonical], self._dtypes[canonical] = shape, dtype

    def __contains__(self, name: str) -> bool:
        return name in self._place

    @property
    def names(self) -> set[str]:
        return set(self._place)

    def original(self, name: str) -> str:
        """A tensor's name as the file has it."""
        return self._place[name][1] if name in self._place else name

    def shape(self, name: str) -> Shape:
        """A tensor's shape. Raises CheckpointError where there is none of that name."""
        if name not in self._shapes:
            raise CheckpointError(f"{self.folder}: the weights lack {name}; fetch them again")
        return self._shapes[name]

    def rows(self, name: str) -> int:
        """How many rows a tensor has. Raises CheckpointError where there is none of that name, or it is one number."""
        shape = self.shape(name)
        if not math.prod(shape[1:]) or not shape:
            raise CheckpointError(
                f"{self.folder}: {self.original(name)} is {list(shape)}, without rows; fetch it again"
            )
        return shape[0]

    def read(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Tensors in fp32.

        Raises CheckpointError for one that is no floating-point numbers, and for one that holds nan or infinity.
        """
        by_file: dict[Path, dict[str, str]] = {}
        for canonical in names:
            path, name = self._place[canonical]
            by_file.setdefault(path, {})[name] = canonical
        tensors: dict[str, Tensor] = {}
        for path, wanted in by_file.items():
            for name, canonical in wanted.items():
                if self._dtypes[canonical] not in FLOATS:
                    what = f"{name} is of dtype {self._dtypes[canonical]}"
                    raise CheckpointError(f"{path}: {what}; only weights in {', '.join(FLOATS)} can be read")
            for name, tensor in storage.read_tensors(path, wanted).items():
                whole = tensor.float()
                if not bool(torch.isfinite(whole).all()):
                    raise CheckpointError(f"{path}: {name} holds nan or infinity; fetch it again, or train it anew")
                tensors[wanted[name]] = whole
        return tensors


class _Entry(ForeignRecord):
    """What a safetensors header says of one tensor."""

    dtype: str
    shape: tuple[NonNegativeInt, ...]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


def _tensor_files(folder: Path) -> list[Path]:
    """The files with the weights. Raises DataError where there are none, or the index names one outside the folder."""
    index, names = folder / INDEX, [WEIGHTS]
    if present(index):
        listed: JsonValue = read_json(index).get("weight_map")
        if type(listed) is not dict or not listed:
            raise DataError(f"{index}: has no weight_map; fetch it again")
        names = sorted({str(one) for one in listed.values()})
    if any(not re.fullmatch(r"[\w.-]+\.safetensors", name) for name in names):
        raise DataError(f"{index}: names a file outside the folder; do not trust it")
    if not present(folder / names[0]) and present(folder / PICKLE):
        raise DataError(f"{folder}: only a pickle of weights, which is never read; fetch {WEIGHTS}")
    return [regular_file(folder / name) for name in names]


def _header(path: Path) -> Iterator[tuple[str, Shape, str]]:
    """(name, shape, dtype) of every tensor of a file: JSON after eight bytes that say how long it is."""
    try:
        with open(path, "rb") as file:
            length, size = int.from_bytes(file.read(8), "little"), path.stat().st_size - 8
            if not 2 <= length <= min(_LONGEST_HEADER, size):
                raise CheckpointError(f"{path}: damaged (no safetensors); fetch it again")
            entries = parse_json(file.read(length), path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    for name, values in sorted(entries.items()):
        if name != "__metadata__":
            entry = as_record(_Entry, values if type(values) is dict else {}, path)
            begin, end = entry.data_offsets
            # what is announced must be there: sizes are made of it before any number is read
            numbers, width = math.prod(entry.shape), _BYTES.get(entry.dtype)
            # the narrowest of the others take half a byte
            fits = numbers <= 2 * (end - begin) if width is None else numbers * width == end - begin
            if not begin <= end <= size - length or not fits:
                what = f"{name[:80]} is {entry.dtype} {list(entry.shape)}"
                raise CheckpointError(f"{path}: damaged ({what} in {end - begin:,} bytes); fetch it again")
            yield name, entry.shape, entry.dtype


def read_weights(
    files: TensorFiles,
    table: Iterable[WeightRow],
    make: Callable[[], nn.Module],
    order: Sequence[int],
    *,
    ignored: Sequence[Ignored] = (),
    tied: Mapping[str, str] | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> dict[str, Tensor]:
    """The tensors of a directory by our names, in fp32.

    Nothing is built or read before every name and shape is known to fit, so that a configuration of another size costs
    nothing.

    Args:
        table: rows with layers filled in. make: the model they are of, which is built without memory, for its shapes.
        order: for each of our tokens its row in the file, or NO_TOKEN. tied: names that must hold the same as others.
        shapes: by our names those of the file where axes are only laid out otherwise.

    Raises:
        CheckpointError: naming a tensor that is missing, has no place, is of another shape, not tied or not finite.
    """
    tied, shapes = tied or {}, shapes or {}
    rows = list(_present(files, table))
    _account(files, rows, ignored, tied)
    wanted = _parameter_shapes(files, make)
    for row in rows:
        _check_shape(files, row, wanted[row.ours], len(order), shapes.get(row.ours))
    doubles = [name for name in tied if name in files]
    found = files.read({*(name for row in rows for name in row.theirs), *doubles})
    for name in doubles:
        if not torch.equal(found[name], found[tied[name]]):
            raise CheckpointError(
                f"{files.folder}: {files.original(name)} is not tied to {files.original(tied[name])}, and only tied "
                "ones can be read"
            )
    weights: dict[str, Tensor] = {}
    for row in rows:
        whole = torch.cat([found[name] for name in row.theirs])
        whole = whole.t().contiguous() if row.transposed else whole
        whole = in_order(whole, order) if row.by_token else whole
        weights[row.ours] = whole.reshape(wanted[row.ours])
    return weights


def _present(files: TensorFiles, table: Iterable[WeightRow]) -> Iterator[WeightRow]:
    """The rows that the files hold. Stops at the first tensor that is missing, however many layers are announced."""
    for row in table:
        missing = [name for name in row.theirs if name not in files]
        if missing and not (row.optional and len(missing) == len(row.theirs)):
            raise CheckpointError(f"{files.folder}: the weights lack {missing[0]}; fetch them again")
        if not missing:
            yield row


def _account(
    files: TensorFiles, rows: Iterable[WeightRow], ignored: Sequence[Ignored], tied: Mapping[str, str]
) -> None:
    rest = files.names - {name for row in rows for name in row.theirs} - tied.keys()
    for name in sorted(rest):
        if not any(re.fullmatch(one.pattern, name) for one in ignored):
            raise CheckpointError(
                f"{files.folder}: {files.original(name)} has no place in this kind of model; nothing is imported "
                "without a part of it"
            )


def _parameter_shapes(files: TensorFiles, make: Callable[[], nn.Module]) -> dict[str, Shape]:
    try:
        with torch.device("meta"):
            return {name: tuple(parameter.shape) for name, parameter in make().named_parameters()}
    except (RuntimeError, OverflowError, MemoryError) as error:  # sizes whose product is beyond any tensor
        raise CheckpointError(f"{files.folder}: config.json has sizes that no model can have ({error})") from None


def _check_shape(files: TensorFiles, row: WeightRow, wanted: Shape, tokens: int, laid_out: Shape | None) -> None:
    """Raises CheckpointError where the file's tensors do not make one of the wanted shape."""
    parts = [files.shape(name) for name in row.theirs]
    found = (sum(part[0] for part in parts), *parts[0][1:]) if all(parts) else ()
    same_rest = all(part[1:] == parts[0][1:] for part in parts)
    expected = laid_out or wanted
    if row.transposed:
        expected = expected[::-1]
    if row.by_token:
        found, expected = (tokens, *found[1:]), (tokens, *expected[1:])
    if found != expected or not same_rest or len(parts) * parts[0][0] != sum(part[0] for part in parts):
        raise CheckpointError(
            f"{files.folder}: {files.original(row.theirs[0])} is {list(parts[0])}, and config.json and the tokenizer "
            f"make it {[expected[0] // len(parts), *expected[1:]]}; they do not belong together"
        )


def lay_out(
    weights: Mapping[str, Tensor],
    table: Iterable[WeightRow],
    order: Sequence[int],
    *,
    shapes: Mapping[str, Shape] | None = None,
) -> dict[str, Tensor]:
    """Our tensors by the file's names, as the file has them; `order` gives for each row of a file our token.

    What the file has as several tensors is cut into equal parts; `require_fixed` sees to it that they are equal. Raises
    ValueError where they cannot be.
    """
    tensors: dict[str, Tensor] = {}
    for row in table:
        whole = weights[row.ours]
        whole = whole.reshape((shapes or {}).get(row.ours, whole.shape))
        whole = whole.t() if row.transposed else whole
        whole = in_order(whole, order) if row.by_token else whole
        if len(whole) % len(row.theirs):
            raise ValueError(f"{row.ours}: {len(whole)} rows are not {len(row.theirs)} equal parts")
        parts = whole.chunk(len(row.theirs))
        tensors |= {name: part.contiguous() for name, part in zip(row.theirs, parts, strict=True)}
    return tensors
