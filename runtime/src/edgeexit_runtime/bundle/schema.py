"""Frozen dataclasses to JSON values and back, with errors that name the place.

A manifest is untrusted: every value is checked against the annotation of its field, and errors are
reported with the path
(``exits[1].threshold: expected a number, got "high"``).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

# Names in a bundle must not point out of its folder, and temporary names are a little longer.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
NAME_CHARACTERS = 64
FILE_NAME_CHARACTERS = 128

MODEL_MAX_BYTES = 2**31 - 1
"""Protobuf's limit, and so an ONNX file's."""

SCALARS = {float: "a finite number", int: "an integer", str: "a string", bool: "true or false"}


class SchemaError(ValueError):
    """A value does not fit its field. ``str(error)`` is ``path: expected ..., got ...``."""


def encode(value: Any) -> Any:
    """Return ``value`` as JSON types: dataclasses become dicts, tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def check_name(name: str, what: str = "name", characters: int = NAME_CHARACTERS) -> None:
    """Check a name, such as that of a stage or exit, which becomes part of file names.

    Raises:
        ValueError: it cannot be part of a file name: it is a path, hidden, or too long.
    """
    if not PLAIN_NAME.fullmatch(name) or len(name) > characters:
        raise ValueError(
            f"{what}: expected a plain name of up to {characters} characters, got {name!r}"
        )


def check_model_file(name: str, size_bytes: int) -> None:
    """Check a file in a bundle's folder, which is read into memory as a whole.

    Raises:
        ValueError: no model file can have this name or this size.
    """
    check_name(name, "file", FILE_NAME_CHARACTERS)
    check_range("size_bytes", size_bytes, 0, MODEL_MAX_BYTES)


def check_range(what: str, value: float, least: float, most: float) -> None:
    """Raise :class:`ValueError` unless ``value`` is from ``least`` to ``most``."""
    if not least <= value <= most:
        raise ValueError(f"{what}: expected {least} to {most}, got {value}")


def check_positive(what: str, value: int) -> None:
    """Raise :class:`ValueError` if ``value`` is below 1."""
    if value < 1:
        raise ValueError(f"{what}: expected 1 or more, got {value}")


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raise :class:`ValueError` unless ``value`` is one of the ``choices``."""
    if value not in choices:
        raise ValueError(f"{what}: expected one of {', '.join(choices)}, got {value!r}")


def check_keys(what: str, got: Mapping[str, object], names: Sequence[str]) -> None:
    """Raise :class:`ValueError` unless ``got`` has a value for each of the ``names`` alone."""
    if set(got) != set(names):
        raise ValueError(f"{what}: expected one for each of {list(names)}, got {list(got)}")


def check_text(what: str, *values: str) -> None:
    """Check text that terminals and reports show: it must not control them.

    Raises:
        ValueError: a value has control characters or the like.
    """
    for value in values:
        if not value.isprintable():
            raise ValueError(f"{what}: expected printable text, got {value!r}")


def decode(kind: type[T], value: Any, where: str = "") -> T:
    """Return ``value``, made of JSON types, as the dataclass ``kind``.

    Raises:
        SchemaError: a field is missing, unknown, or of another type than its annotation.
    """
    result: T = _decode(kind, value, where)
    return result


def _decode(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _decode_optional(arguments, value, where)
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if origin is dict:
        _expect(isinstance(value, dict), "an object", value, where)
        return {key: _decode(arguments[1], v, f"{where}.{key}") for key, v in value.items()}
    return _decode_scalar(kind, value, where)


def _decode_dataclass(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), "an object", value, where)
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints))
    prefix = f"{where}." if where else ""
    if unknown:
        raise SchemaError(f"{prefix}{unknown[0]}: no such field")
    arguments = {}
    for field in dataclasses.fields(kind):
        if field.name in value:
            path = prefix + field.name
            arguments[field.name] = _decode(hints[field.name], value[field.name], path)
        elif field.default is field.default_factory:  # both MISSING
            raise SchemaError(f"{prefix}{field.name}: missing")
    try:
        return kind(**arguments)
    except ValueError as error:  # from the dataclass's own __post_init__
        raise SchemaError(f"{where}: {error}" if where else str(error)) from error


def _decode_optional(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    (kind,) = [argument for argument in arguments if argument is not type(None)]
    return _decode(kind, value, where)


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _expect(isinstance(value, (list, tuple)), "a list", value, where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    _expect(len(value) == len(arguments), f"{len(arguments)} values", value, where)
    pairs = zip(arguments, value, strict=True)
    return tuple(_decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))


def _decode_scalar(kind: Any, value: Any, where: str) -> Any:
    fits = isinstance(value, (int, float) if kind is float else kind)
    if kind is not bool:
        fits = fits and not isinstance(value, bool)  # which Python takes for an integer
    if kind is float:
        fits = fits and abs(value) <= sys.float_info.max
    _expect(fits, SCALARS[kind], value, where)
    return kind(value)


def _expect(fits: bool, expected: str, got: Any, where: str) -> None:
    if not fits:
        shown = json.dumps(got, default=repr)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise SchemaError(f"{where or 'top level'}: expected {expected}, got {shown}")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
