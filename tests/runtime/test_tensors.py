"""Our safetensors files: as the format's own package reads and writes them, and never damaged."""

import errno
import json
import os
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jaxrl.runtime import tensors
from tests.sentences import hold_sentence

NUMBERS = np.random.default_rng(0)
TENSORS = {
    **{
        f"of/{np.dtype(dtype).name}": NUMBERS.integers(0, 2, (3, 5)).astype(dtype)
        for dtype in (bool, "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
    },
    "bfloat16": NUMBERS.normal(size=7).astype(ml_dtypes.bfloat16),
    "number": np.float32(np.nan),
    "empty": np.zeros((3, 0, 2), np.float32),
    "transposed": NUMBERS.normal(size=(4, 6)).T,
    "big-endian": NUMBERS.normal(size=4).astype(">f8"),
    'λ "quoted"': np.array([-0.0, np.inf, 5e-324]),
}
NOTES = {"notes": '{"update": 3}', "ü": ""}


def same(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        x, y = np.asarray(x), theirs[name]
        assert y.dtype == x.dtype.newbyteorder("<") and y.shape == x.shape
        assert y.tobytes() == x.astype(y.dtype).tobytes()  # bit for bit, NaN and −0 too


@pytest.fixture
def path(tmp_path):
    tensors.save(tmp_path / "x.safetensors", TENSORS, NOTES)
    return tmp_path / "x.safetensors"


def test_what_is_saved_is_loaded(path) -> None:
    arrays, metadata = tensors.load(path)
    same(TENSORS, arrays)
    assert metadata == NOTES and all(x.flags.writeable for x in arrays.values())
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_the_formats_own_package_reads_it(path) -> None:
    same(TENSORS, load_file(path))
    with safe_open(path, "np") as file:
        assert NOTES.items() < file.metadata().items()


def test_what_the_formats_own_package_writes_is_read(tmp_path) -> None:
    plain = {name: tensors._plain(name, x) for name, x in TENSORS.items()}
    notes = {**NOTES, "sha256": tensors.checksum(plain, NOTES)}
    save_file(plain, tmp_path / "theirs", notes)
    arrays, metadata = tensors.load(tmp_path / "theirs")
    same(TENSORS, arrays)
    assert metadata == NOTES


def test_arrays_are_aligned_for_whoever_maps_them(path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__")
    for entry in entries.values():
        size = tensors.DTYPES[entry["dtype"]].itemsize
        assert (8 + length + entry["data_offsets"][0]) % size == 0


def test_every_flipped_bit_is_noticed(path) -> None:
    data = path.read_bytes()
    for where in range(len(data)):
        flipped = bytearray(data)
        flipped[where] ^= 1 << where % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError) as error:
            tensors.load(path)
        assert str(path) in str(error.value)


def test_every_other_length_is_noticed(path) -> None:
    data = path.read_bytes()
    for length in (*range(len(data)), len(data) + 1):
        path.write_bytes((data + b"\0")[:length])
        with pytest.raises(ValueError, match="no sound file of tensors"):
            tensors.load(path)


def header(text: str | bytes, data: bytes = b"") -> bytes:
    encoded = text if isinstance(text, bytes) else text.encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)) -> str:
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": offsets})


DAMAGED = {
    "empty": (b"", "it has 0 bytes"),
    "huge header": (b"\xff" * 8 + b"{}", "which it cannot hold"),
    "no JSON": (header("{"), "its header cannot be read"),
    "no text": (header(b"\xff\xfe"), "its header cannot be read"),
    "deep": (header("[" * 100_000), "no sound file"),
    "list": (header("[]"), "its header is no table"),
    "no checksum": (header("{}"), "its checksum is missing"),
    "metadata": (header('{"__metadata__": {"a": 1}}'), "its metadata are not texts"),
    "twice": (header('{"a": 1, "a": 1}'), "a name occurs twice"),
    "fields": (header('{"a": {"dtype": "F32"}}'), "'a' is not described"),
    "type": (header(f'{{"a": {entry("F8")}}}', b"1234"), "the unknown type 'F8'"),
    "type of type": (header(f'{{"a": {entry([])}}}', b"1234"), "the unknown type []"),
    "negative": (header(f'{{"a": {entry(shape=(-1,))}}}', b"1234"), "no lists of sizes"),
    "true": (header(f'{{"a": {entry(shape=(True,))}}}', b"1234"), "no lists of sizes"),
    "fraction": (header(f'{{"a": {entry(offsets=(0, 4.0))}}}', b"1234"), "no lists of sizes"),
    "offsets": (header(f'{{"a": {entry(offsets=4)}}}', b"1234"), "no lists of sizes"),
    "gap": (header(f'{{"a": {entry(offsets=(1, 5))}}}', b"12345"), "do not fit"),
    "overlap": (header(f'{{"a": {entry()}, "b": {entry()}}}', b"1234"), "do not fit"),
    "backwards": (header(f'{{"a": {entry(offsets=(4, 0))}}}', b"1234"), "do not fit"),
    "beyond": (header(f'{{"a": {entry(shape=(2,), offsets=(0, 8))}}}', b"1234"), "4 bytes of data"),
    "product": (header(f'{{"a": {entry(shape=(2**62, 4))}}}', b"1234"), "which no array has"),
    "empty but huge": (
        header(f'{{"a": {entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}}}'),
        "which no array has",
    ),
}


@pytest.mark.parametrize(("data", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, data, words) -> None:
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(ValueError) as error:
        tensors.load(tmp_path / "bad")
    hold_sentence(str(error.value), str(tmp_path / "bad"), words)


def test_a_claimed_size_takes_no_memory(tmp_path) -> None:
    claimed = 2**40
    text = f'{{"a": {entry(shape=(claimed // 4,), offsets=(0, claimed))}}}'
    (tmp_path / "bad").write_bytes(header(text, b"1234"))
    tracemalloc.start()
    with pytest.raises(ValueError, match="4 bytes of data"):
        tensors.load(tmp_path / "bad")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_large_arrays_are_written_from_where_they_lie(tmp_path) -> None:
    large = np.ones((4, 1_000_000), np.float32)
    tracemalloc.start()
    tensors.save(tmp_path / "large", {"x": large}, {})
    assert tracemalloc.get_traced_memory()[1] < large.nbytes / 8
    tracemalloc.stop()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path, monkeypatch) -> None:
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device, so that nothing") as error:
        tensors.save(path, {"x": np.zeros(3)}, {})
    assert error.value.filename == str(path) and error.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_a_kill_while_writing_leaves_nothing(path, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        tensors.save(path, {"x": np.zeros(3)}, {})
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("arrays", "notes", "words"),
    [
        ({"x": np.zeros(1, complex)}, {}, "'x' must be of a type among BOOL"),
        ({"x": np.array(["a"])}, {}, "'x' must be of a type among BOOL"),
        ({"__metadata__": np.zeros(1)}, {}, "no tensor must be called '__metadata__'"),
        ({}, {"sha256": ""}, "metadata must not hold 'sha256'"),
    ],
    ids=str,
)
def test_what_cannot_be_saved_is_told(tmp_path, arrays, notes, words) -> None:
    with pytest.raises(ValueError) as error:
        tensors.save(tmp_path / "x", arrays, notes)
    hold_sentence(str(error.value), words)
    assert not list(tmp_path.iterdir())


def test_a_foreign_file_needs_no_checksum(tmp_path):
    """One that it has must still be right, and all else is checked as ever."""
    path = tmp_path / "x.safetensors"
    save_file({"x": np.arange(3.0), "y": np.ones((2, 1), np.float32)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match="its checksum is missing"):
        tensors.load(path)
    arrays, texts = tensors.load(path, foreign=True)
    same({"x": np.arange(3.0), "y": np.ones((2, 1), np.float32)}, arrays)
    assert texts == {"format": "pt"}
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="it holds 31 bytes of data, and not 32"):
        tensors.load(path, foreign=True)
