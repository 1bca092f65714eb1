"""Files that were made to do harm, or damaged: one line each, and no more memory than the file."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.memory import MemoryPeak

from edgeexit.errors import CheckpointError
from edgeexit.plain_file import MAX_DEPTH, read_plain, write_plain

CENTRAL = b"PK\x01\x02"  # where an entry of the directory starts
LARGE_BYTES = 2**30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ckpt.pt"


def test_what_is_written_comes_back(path: Path) -> None:
    tensors = {str(dtype): torch.arange(4).to(dtype) for dtype in (torch.half, torch.bool)}
    tensors["channels last"] = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    values = {"text": "a", "list": [1, 2.5, None, True], "tuple": (1, ("b",)), 7: {}}
    write_plain(path, {**values, "tensors": tensors})
    read = read_plain(path)
    assert {name: read[name] for name in values} == values
    for name, tensor in tensors.items():
        assert read["tensors"][name].dtype == tensor.dtype
        assert torch.equal(read["tensors"][name], tensor)


def test_what_was_read_does_not_hang_on_the_file(path: Path) -> None:
    write_plain(path, {"weights": torch.ones(1000)})
    read = read_plain(path)
    path.write_bytes(b"")
    assert read["weights"].sum() == 1000


def test_no_more_is_read_than_the_file_holds(path: Path) -> None:
    """A storage that is said to be larger than the file ends with the file."""
    path.write_bytes(_in_pickle(b"K\x10t", b"J\x00\x00\x00\x01t"))
    assert read_plain(path)["weights"]["a"].tolist() == list(range(16))


def test_a_file_with_holes_that_is_larger_than_the_memory(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04")
    os.truncate(path, 2**43)
    with pytest.raises(CheckpointError, match=r"ckpt\.pt: 8796093022208 bytes, more than this"):
        read_plain(path)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


WHOLE = saved({"format": "any", "weights": {"a": torch.arange(16.0)}})


def _in_directory(offset: int, value: bytes) -> bytes:
    """Write into the last entry of the directory."""
    place = WHOLE.rindex(CENTRAL) + offset
    return WHOLE[:place] + value + WHOLE[place + len(value) :]


def _in_pickle(before: bytes, after: bytes) -> bytes:
    entries = unpacked(WHOLE)
    assert before in entries["archive/data.pkl"]
    entries["archive/data.pkl"] = entries["archive/data.pkl"].replace(before, after)
    return packed(entries)


def _called(name: bytes, argument: int) -> bytes:
    """A pickle that calls something with a number."""
    call = b"c%s\nJ%s\x85R" % (name, struct.pack("<i", argument))
    return packed({"archive/data.pkl": b"\x80\x02" + call + b"."})


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _shared(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value] * 10
    return value


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _twice() -> bytes:
    entries = unpacked(WHOLE)
    return packed({"archive/DATA.PKL": b"", **entries})  # torch does not tell them apart


DAMAGED: dict[str, Callable[[], bytes]] = {
    "bytes lost": lambda: WHOLE[:300] + WHOLE[340:],
    "end lost": lambda: WHOLE[:-200],
    "a newer version of zip": lambda: _in_directory(6, b"\x63\x00"),
    "encrypted": lambda: _in_directory(8, b"\x01\x00"),
    "a name of no characters": lambda: _in_directory(46, b"\xff"),
}

FOREIGN: dict[str, Callable[[], bytes]] = {
    "deflated": lambda: packed(unpacked(WHOLE), zipfile.ZIP_DEFLATED),
    "bzip2": lambda: packed(unpacked(WHOLE), zipfile.ZIP_BZIP2),
    "lzma": lambda: packed(unpacked(WHOLE), zipfile.ZIP_LZMA),
    "packed in another way": lambda: _in_directory(10, b"\x63\x00"),
    "small when packed": lambda: packed(
        {"archive/data.pkl": bytes(LARGE_BYTES // 8)}, zipfile.ZIP_DEFLATED
    ),
    "entries larger than the file": lambda: _in_directory(20, struct.pack("<2I", 2**31, 2**31)),
    "an entry that is a folder": lambda: _in_directory(38, struct.pack("<I", 0x10)),
    "two entries of one name": _twice,
    "no pickle": lambda: packed({"archive/version": b"3"}),
    "a large text": lambda: packed({"archive/data.pkl": b"X" * 2**25}),
    "bytearray": lambda: _called(b"builtins\nbytearray", LARGE_BYTES),
    "new tensor": lambda: _called(b"torch\nTensor", LARGE_BYTES // 4),
    "new storage": lambda: _called(b"torch.storage\nUntypedStorage", LARGE_BYTES),
    "beyond its bytes": lambda: _in_pickle(b"K\x10\x85", b"M\x00\x10\x85"),
    "before its bytes": lambda: _in_pickle(b"QK\x00", b"QJ\xff\xff\xff\xff"),
    "negative stride": lambda: _in_pickle(b"K\x01\x85", b"J\xff\xff\xff\xff\x85"),
    "expanded": lambda: saved({"weights": torch.zeros(1).expand(LARGE_BYTES // 4)}),
    "overlapping": lambda: saved(
        {"weights": torch.zeros(2**15).as_strided((2**14, 2**14), (1, 1))}
    ),
    "many of one storage": lambda: saved([*torch.zeros(2**19).unfold(0, 2**18, 1)[:1000]]),
    "complex": lambda: saved({"weights": torch.zeros(3, dtype=torch.complex64)}),
    "sparse": lambda: saved({"weights": torch.eye(3).to_sparse()}),
    "meta": lambda: saved({"weights": torch.empty(LARGE_BYTES, device="meta")}),
    "quantized": lambda: saved(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)),
    "parameter": lambda: saved({"weights": torch.nn.Parameter(torch.zeros(3))}),
    "a set": lambda: saved({"weights": {1, 2}}),
    "bytes": lambda: saved({"weights": b"abc"}),
    "a complex number": lambda: saved({"weights": 1j}),
    "keys of other kinds": lambda: saved({(1, 2): 3}),
    "too deep": lambda: saved(_nested(MAX_DEPTH + 1)),
    "more values than bytes": lambda: saved(_shared(20)),
    "in itself": lambda: saved(_endless()),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of memory")
@pytest.mark.filterwarnings("ignore")  # torch's, of tensors that are made here
@pytest.mark.parametrize("name", [*DAMAGED, *FOREIGN])
def test_harmful_files(path: Path, name: str) -> None:
    path.write_bytes({**DAMAGED, **FOREIGN}[name]())
    what = r"the checkpoint is (damaged|truncated)" if name in DAMAGED else "not a checkpoint of"
    peak = MemoryPeak()
    with pytest.raises(CheckpointError, match=rf"ckpt\.pt: {what}") as caught:
        read_plain(path)
    assert peak.more_bytes < path.stat().st_size + 2**25
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
