"""Plain values and tensors in one file in torch's zip format; loading runs no code.

Files come from untrusted sources. Checksums of all entries are verified, only the types that
:func:`write_plain` writes are unpickled, and no more memory is used than the file is large.
"""

from __future__ import annotations

import io
import os
import pickletools
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeexit.errors import CheckpointError
from edgeexit.files import replace_file

MAX_PICKLE_BYTES = 2**24
"""Largest size of everything but the tensors."""

MAX_DEPTH = 32

_ZIP_START = b"PK\x03\x04"
_DIRECTORY = 0x10  # attribute of entries whose bytes torch does not read

_DTYPES = "Float Double Half BFloat16 Long Int Short Char Byte Bool"
PLAIN_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {dtype}Storage" for dtype in _DTYPES.split()),
}
"""All globals in a pickle of plain values and dense tensors. torch would accept more, including
types whose memory is not in the file."""


def write_plain(path: Path, plain: dict[str, Any]) -> None:
    """Write plain values and tensors, atomically.

    Raises:
        WriteError: the disk is full or the folder is not writable.
    """
    buffer = io.BytesIO()  # if torch's own write to a file fails, it hides the reason
    torch.save(plain, buffer)
    with (
        replace_file(path) as temporary,
        temporary.open("wb") as file,
        buffer.getbuffer() as content,  # released even if a traceback keeps this frame alive
    ):
        file.write(content)


def read_plain(path: Path) -> Any:
    """Read a file of :func:`write_plain`: dicts, lists, tuples, scalars, text and tensors.

    Raises:
        CheckpointError: the file is missing, truncated, damaged, or of another format.
    """
    opened = open_plain(path)
    if opened is None:
        raise foreign_file(path)
    stored, content = opened
    try:
        return stored.copied(content)
    except (TypeError, ValueError) as error:
        raise foreign_file(path) from error


def open_plain(path: Path) -> tuple[StoredPickle, Any] | None:
    """Return a file's content, memory-mapped and not copied; None if it is of another format.

    Raises:
        CheckpointError: the file is missing, truncated or damaged.
    """
    stored = stored_pickle(path)
    if stored is None or not stored.names <= PLAIN_NAMES:
        return None
    try:
        # memory-mapped: all sizes are known before memory is allocated
        return stored, torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # torch and its unpickler raise many types
        raise foreign_file(path) from error


@dataclass(frozen=True, slots=True)
class StoredPickle:
    """The pickle in a file of torch's zip format, before it is unpickled.

    Attributes:
        size_bytes: size of the file.
        pickle_bytes: size of the pickle, which holds everything but the tensors.
        names: the globals that the pickle would import, as ``module name``.
    """

    size_bytes: int
    pickle_bytes: int
    names: frozenset[str]

    def copied(self, content: Any) -> Any:
        """Return the file's plain values and tensors as copies.

        Raises:
            TypeError, ValueError: ``content`` is not plain, or exceeds the file's size.
        """
        return _Copy(self.size_bytes, self.pickle_bytes)(content)


def stored_pickle(path: Path) -> StoredPickle | None:
    """Inspect a file and verify its checksums; return None if it is of another format.

    Raises:
        CheckpointError: the file is missing, truncated or damaged.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_ZIP_START))
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", error)
        raise CheckpointError(
            f"{path}: could not read the checkpoint ({reason}); give the path of a ckpt.pt that "
            "'edgeexit train' wrote"
        ) from error
    if start and start != _ZIP_START:
        return None
    if size_bytes > _memory_bytes():  # a sparse file needs no space on the disk
        raise CheckpointError(
            f"{path}: {size_bytes} bytes, more than this machine has memory; give the path of a "
            "ckpt.pt that 'edgeexit train' wrote"
        )
    return _check_container(path, size_bytes)


def foreign_file(path: Path) -> CheckpointError:
    """Return the error for a file that edgeexit did not write."""
    return CheckpointError(
        f"{path}: not a checkpoint of edgeexit; give the path of a ckpt.pt that 'edgeexit train' "
        "wrote"
    )


def _memory_bytes() -> int:
    if sys.platform == "win32":  # has no sysconf
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_container(path: Path, size_bytes: int) -> StoredPickle | None:
    """Check that the file has the layout that torch writes, and verify its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = _pickle_of(archive, size_bytes) if _is_stored(archive, size_bytes) else None
            damaged = None if stored is None else archive.testzip()  # torch does not check
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path}: the checkpoint is truncated; train or copy it again"
        ) from error
    except Exception as error:  # a damaged directory can raise anything
        raise CheckpointError(
            f"{path}: the checkpoint is damaged; train or copy it again"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: the checkpoint is damaged ({damaged}); train or copy it again"
        )
    return stored


def _is_stored(archive: zipfile.ZipFile, size_bytes: int) -> bool:
    """Whether all entries are uncompressed; compressed ones could expand to any size."""
    entries = archive.infolist()
    names = {entry.filename.lower() for entry in entries}  # torch ignores case
    return (
        len(names) == len(entries)
        and sum(entry.file_size for entry in entries) <= size_bytes
        and all(
            entry.compress_type == zipfile.ZIP_STORED
            and entry.compress_size == entry.file_size
            and not entry.external_attr & _DIRECTORY
            for entry in entries
        )
    )


def _pickle_of(archive: zipfile.ZipFile, size_bytes: int) -> StoredPickle | None:
    """Return the archive's pickle; None if there is none or it is too large."""
    name = f"{archive.namelist()[0].partition('/')[0]}/data.pkl"  # where torch expects it
    if name not in archive.namelist() or archive.getinfo(name).file_size > MAX_PICKLE_BYTES:
        return None
    pickle = archive.read(name)
    names = {str(name) for code, name, _ in pickletools.genops(pickle) if code.name == "GLOBAL"}
    return StoredPickle(size_bytes, len(pickle), frozenset(names))


class _Copy:
    """Copies plain values and tensors, up to the number that the file can hold.

    A copy could be larger than the file: a tensor may have overlapping elements, and a list may
    contain another many times, or itself. A tensor with several names is copied once.

    Args:
        tensor_bytes: largest size of all tensors together.
        values: largest number of values; each takes at least one byte of the pickle.
    """

    def __init__(self, tensor_bytes: int, values: int) -> None:
        self._tensor_bytes, self._values = tensor_bytes, values
        self._copies: dict[Any, Tensor] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._values -= 1
        if self._values < 0 or depth > MAX_DEPTH:
            raise ValueError("more values than the file has room for, or too deep")
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
            return {key: self(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self(item, depth + 1) for item in value)
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise TypeError(f"{type(value)} is not plain")
        return value

    def _tensor(self, value: Tensor) -> Tensor:
        place = (value.data_ptr(), value.dtype, value.shape, value.stride())
        if place not in self._copies:
            self._tensor_bytes -= value.nbytes
            if self._tensor_bytes < 0:
                raise ValueError("more bytes of tensors than the file has room for")
            self._copies[place] = value.detach().clone()
        return self._copies[place]
