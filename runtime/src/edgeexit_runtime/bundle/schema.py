"""Frozen dataclasses to JSON values and back, with errors that name the place.

A manifest is untrusted: every value is checked against the annotation of its field, and errors are
reported with the path
(``exits[1].threshold: expected a number, got "high"``).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

# Names in a bundle must not point out of its folder, and temporary names are a little longer.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
NAME_CHARACTERS = 64
FILE_NAME_CHARACTERS = 128

MODEL_MAX_BYTES = 2**31 - 1
"""Protobuf's limit, and so an ONNX file's."""


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


def check_name(name: str, what: str = "name") -> None:
    """Check a name of a stage or exit, which becomes part of file names.

    Raises:
        ValueError: it cannot be part of a file name.
    """
    _check_plain(what, name, NAME_CHARACTERS)


def check_file_name(name: str) -> None:
    """Check the name of a file in a bundle's folder.

    Raises:
        ValueError: ``name`` is a path, hidden, or too long.
    """
    _check_plain("file", name, FILE_NAME_CHARACTERS)


def check_model_size(size_bytes: int) -> None:
    """Check the size of a model file, which is read into memory as a whole.

    Raises:
        ValueError: no model file can have this size.
    """
    if not 0 <= size_bytes <= MODEL_MAX_BYTES:
        raise ValueError(f"size_bytes: expected 0 to {MODEL_MAX_BYTES}, got {size_bytes}")


def check_text(what: str, *values: str) -> None:
    """Check text that terminals and reports show: it must not control them.

    Raises:
        ValueError: a value has control characters or the like.
    """
    for value in values:
        if not value.isprintable():
            raise ValueError(f"{what}: expected printable text, got {value!r}")


def _check_plain(what: str, name: str, characters: int) -> None:
    if not PLAIN_NAME.fullmatch(name) or len(name) > characters:
        raise ValueError(
            f"{what}: expected a plain name of up to {characters} characters, got {name!r}"
        )


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
        elif _is_required(field):
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
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float:
        _expect(number and _is_finite(value), "a finite number", value, where)
        return float(value)
    if kind is int:
        _expect(number and isinstance(value, int), "an integer", value, where)
    elif kind is str:
        _expect(isinstance(value, str), "a string", value, where)
    elif kind is bool:
        _expect(isinstance(value, bool), "true or false", value, where)
    else:
        raise TypeError(f"{kind!r} has no JSON form")
    return value


def _expect(fits: bool, expected: str, got: Any, where: str) -> None:
    if not fits:
        shown = json.dumps(got, default=repr)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise SchemaError(f"{where or 'top level'}: expected {expected}, got {shown}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
