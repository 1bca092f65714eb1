"""Training configurations as TOML files (https://toml.io/en/v1.0.0)."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomli_w
from edgeexit_runtime.bundle.schema import SchemaError, decode, encode

from edgeexit.data.config import DataConfig
from edgeexit.errors import InputError, UnknownNameError
from edgeexit.files import replace_file
from edgeexit.training.settings.config import TrainConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATA = "data"
NOT_OPTIONS = (DATA, "fingerprint")  # a table of its own; a fact about the images of a run
MAX_BYTES = 1 << 20
TITLE = "# How this run was trained."
HEADER = TITLE + " The same again: edgeexit train --config {name} -o other/\n"


def write_config(path: Path, config: TrainConfig) -> None:
    """Write every field of ``config`` that is not None, atomically.

    Raises:
        WriteError: the disk is full or the folder cannot be written to.
    """
    plain = _without_none(encode(config))
    plain[DATA] = _without_none(plain.pop(DATA))  # TOML tables come after plain values
    with replace_file(path) as temporary:
        text = HEADER.format(name=path.name) + tomli_w.dumps(plain)
        temporary.write_text(text, encoding="utf-8")


def is_written_config(path: Path) -> bool:
    """Whether the file was written by :func:`write_config`."""
    try:
        with path.open("rb") as file:
            return file.read(len(TITLE)) == TITLE.encode()
    except OSError:
        return False


def read_options(path: Path) -> dict[str, Any]:
    """Return the fields of :class:`TrainConfig` that a file sets, with their types checked.

    The fields of the data are a dictionary under ``data``. Rules between fields are not checked
    yet: the command line may set the others.

    Raises:
        InputError: the file is missing or not TOML, or a field is unknown or has a wrong type.
    """
    content = _parse(path)
    table = content.pop(DATA, {})
    if not isinstance(table, dict):
        raise InputError(f"{path}: [{DATA}]: expected a table, got {table!r}; correct the file")
    options = _checked(path, TrainConfig, content, "")
    if table:
        options[DATA] = _checked(path, DataConfig, table, f"{DATA}.")
    return options


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            start = file.read(MAX_BYTES + 1)
        if len(start) > MAX_BYTES:
            raise InputError(f"{path}: more than {MAX_BYTES} bytes; give the config.toml of a run")
        content: dict[str, Any] = tomllib.loads(start.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not TOML ({reason}); give the config.toml of a run") from error
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        refused = getattr(error, "strerror", error)
        raise InputError(
            f"{path}: could not read the configuration ({refused}); give the config.toml of a run"
        ) from error
    return content


def _checked(path: Path, kind: type[Any], given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    known = [f.name for f in fields(kind) if f.name not in NOT_OPTIONS]
    options = {}
    for name, value in given.items():
        if name not in known:
            every = [prefix + other for other in known]
            raise InputError(f"{path}: {UnknownNameError('option', prefix + name, every)}")
        try:
            options[name] = decode(hints[name], value, prefix + name)
        except SchemaError as error:
            raise InputError(f"{path}: {error}; correct the file") from error
    return options


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
