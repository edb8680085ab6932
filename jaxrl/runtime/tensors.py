"""Named arrays in one checksummed file of the safetensors format; nothing in it is executed.

    8 bytes: length of the header, little-endian
    header:  JSON, name -> dtype, shape, offsets into the data; "__metadata__" -> texts
    data:    the arrays one after the other, little-endian, row by row

What is read is checked against the size of the file before memory is taken for it.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from jaxrl.runtime.atomic import whole

DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(bool),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
"""What the format calls the types that it knows."""

METADATA, CHECKSUM = "__metadata__", "sha256"
ALIGNMENT = 8  # of the data, so that arrays can be mapped into memory
LONGEST_HEADER = 100_000_000  # as other readers have it
LARGEST_SHAPE = 2**56

Entries = dict[str, dict[str, Any]]


def save(path: Path | str, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write arrays and texts as one file, which appears whole or not at all.

    Args:
      tensors: name -> array; those that are contiguous are written from where they lie.
      metadata: texts to be kept beside them; "sha256" is ours.
    """
    if CHECKSUM in metadata:
        raise ValueError(f"metadata must not hold {CHECKSUM!r}, which is added")
    arrays = {name: _plain(name, x) for name, x in tensors.items()}
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))  # all aligned
    entries, end = {}, 0
    for name, x in arrays.items():
        entries[name] = {
            "dtype": _code(x.dtype),
            "shape": list(x.shape),
            "data_offsets": [end, end + x.nbytes],
        }
        end += x.nbytes
    texts = {**metadata, CHECKSUM: checksum(arrays, metadata)}
    header = json.dumps({METADATA: texts, **entries}).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    with whole(Path(path)) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for x in arrays.values():
            file.write(_bytes(x))


def load(path: Path | str, foreign: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and texts of a file; a ValueError says what is wrong with one that is damaged.

    The file must hold a checksum, as `save` writes it; only a `foreign` one may do without.
    """
    with open(path, "rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size, foreign)
        except (ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is no sound file of tensors: {error}") from error


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes, texts and data, whatever their order in the file."""
    names = sorted(tensors)
    described = [(name, _code(tensors[name].dtype), tensors[name].shape) for name in names]
    digest = hashlib.sha256(json.dumps([described, sorted(metadata.items())]).encode())
    for name in names:
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _plain(name: str, x: Any) -> np.ndarray:
    """A contiguous little-endian array of a type that the format knows; a copy if it must be."""
    array = np.asarray(x)
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype not in DTYPES.values():
        raise ValueError(f"{name!r} must be of a type among {', '.join(DTYPES)}, not {array.dtype}")
    if name == METADATA:
        raise ValueError(f"no tensor must be called {METADATA!r}")
    return array


def _code(dtype: np.dtype) -> str:
    return next(code for code, known in DTYPES.items() if known == dtype)


def _bytes(x: np.ndarray) -> memoryview:
    return x.reshape(-1).view(np.uint8).data


def _read(file: BinaryIO, size: int, foreign: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    entries, metadata, start = _header(file, size)
    tensors = {}
    for name, dtype, shape in _layout(entries, size - start):
        tensors[name] = np.empty(shape, dtype)
        data = _bytes(tensors[name])
        if file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise ValueError(f"it ends within the data of {name!r}")
    expected = metadata.pop(CHECKSUM, None)
    if foreign and expected is None:
        return tensors, metadata
    if checksum(tensors, metadata) != expected:
        raise ValueError("its checksum is missing" if expected is None else "its checksum differs")
    return tensors, metadata


def _header(file: BinaryIO, size: int) -> tuple[Entries, dict[str, str], int]:
    """The entries of the tensors, the texts, and where the data begins."""
    if size < 8:
        raise ValueError(f"it has {size} bytes, too few for the length of its header")
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, LONGEST_HEADER):
        raise ValueError(f"its header would have {length} bytes, which it cannot hold")
    try:
        entries = json.loads(file.read(length).decode(), object_pairs_hook=_unrepeated)
    except ValueError as error:
        raise ValueError(f"its header cannot be read, {error}") from error
    if not isinstance(entries, dict):
        raise ValueError("its header is no table")
    metadata = entries.pop(METADATA, {})
    if not (isinstance(metadata, dict) and all(isinstance(x, str) for x in metadata.values())):
        raise ValueError("its metadata are not texts")
    return entries, metadata, 8 + length


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _layout(entries: Entries, size: int) -> Iterator[tuple[str, np.dtype, list[int]]]:
    """Name, type and shape of each tensor, in the order of the data, which must have no gap."""
    checked = [(*_entry(name, entry), name) for name, entry in entries.items()]
    checked.sort(key=lambda row: row[:2])
    end = 0
    for begin, stop, dtype, shape, name in checked:
        if begin != end or stop - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"the offsets of {name!r} do not fit its shape and its place")
        end = stop
    if end != size:
        raise ValueError(f"it holds {size} bytes of data, and not {end}")
    yield from ((name, dtype, shape) for _, _, dtype, shape, name in checked)


def _entry(name: str, entry: Any) -> tuple[int, int, np.dtype, list[int]]:
    fields = {"dtype", "shape", "data_offsets"}
    if not (isinstance(entry, dict) and entry.keys() == fields):
        raise ValueError(f"{name!r} is not described by dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    lists = [x for x in (shape, offsets) if isinstance(x, list)]
    if len(lists) != 2 or len(offsets) != 2 or not all(_is_size(n) for x in lists for n in x):
        raise ValueError(f"the shape or the offsets of {name!r} are no lists of sizes")
    if math.prod(max(n, 1) for n in shape) > LARGEST_SHAPE:  # also where another size is 0
        raise ValueError(f"{name!r} is of the shape {shape}, which no array has")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise ValueError(f"{name!r} is of the unknown type {entry['dtype']!r}")
    return offsets[0], offsets[1], DTYPES[entry["dtype"]], shape


def _is_size(n: Any) -> bool:
    return type(n) is int and n >= 0
