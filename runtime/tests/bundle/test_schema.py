"""Dataclasses to JSON values and back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from edgeexit_runtime.bundle.schema import SchemaError, decode, encode


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: float = 0.5

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"x: expected 0 or more, got {self.x}")


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    closed: bool
    points: tuple[Point, ...]
    size: tuple[int, int]
    centre: Point | None = None
    notes: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


SHAPE = Shape("line", False, (Point(1), Point(2, 0.25)), (3, 4), Point(7), {"a": "b"}, {"c": [1]})
VALUE: dict[str, Any] = {
    "name": "line",
    "closed": False,
    "points": [{"x": 1, "y": 0.5}, {"x": 2, "y": 0.25}],
    "size": [3, 4],
    "centre": {"x": 7, "y": 0.5},
    "notes": {"a": "b"},
    "extra": {"c": [1]},
}


def test_encode_gives_json_types() -> None:
    assert encode(SHAPE) == VALUE


def test_decode_is_the_way_back() -> None:
    assert decode(Shape, VALUE) == SHAPE
    assert decode(Shape, json.loads(json.dumps(encode(SHAPE)))) == SHAPE


def test_defaults_fill_what_is_left_out() -> None:
    value = {"name": "dot", "closed": True, "points": [{"x": 1}], "size": [1, 1]}
    assert decode(Shape, value) == Shape("dot", True, (Point(1, 0.5),), (1, 1))
    assert decode(Shape, {**value, "centre": None}).centre is None


def test_an_integer_is_a_number() -> None:
    point = decode(Point, {"x": 1, "y": 2})
    assert type(point.y) is float
    assert point.y == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour: no such field"),
        ({"points": [{"x": 1, "z": 2}]}, "points[0].z: no such field"),
        ({"points": [{"x": 1}, {"y": 2}]}, "points[1].x: missing"),
        ({"name": 3}, "name: expected a string, got 3"),
        ({"closed": 1}, "closed: expected true or false, got 1"),
        ({"closed": None}, "closed: expected true or false, got null"),
        ({"points": {}}, "points: expected a list, got {}"),
        ({"points": "ab"}, 'points: expected a list, got "ab"'),
        ({"points": [5]}, "points[0]: expected an object, got 5"),
        ({"points": [{"x": 1.0}]}, "points[0].x: expected an integer, got 1.0"),
        ({"points": [{"x": True}]}, "points[0].x: expected an integer, got true"),
        ({"points": [{"x": 1, "y": "high"}]}, 'points[0].y: expected a finite number, got "high"'),
        (
            {"points": [{"x": 1, "y": float("nan")}]},
            "points[0].y: expected a finite number, got NaN",
        ),
        (
            {"points": [{"x": 1, "y": float("inf")}]},
            "points[0].y: expected a finite number, got Infinity",
        ),
        (
            {"points": [{"x": 1, "y": 10**400}]},  # no float, and json reads it
            f"points[0].y: expected a finite number, got 1{56 * '0'}...",
        ),
        ({"points": [{"x": -1}]}, "points[0]: x: expected 0 or more, got -1"),
        ({"size": [1]}, "size: expected 2 values, got [1]"),
        ({"size": [1, "b"]}, 'size[1]: expected an integer, got "b"'),
        ({"centre": 4}, "centre: expected an object, got 4"),
        ({"notes": []}, "notes: expected an object, got []"),
        ({"notes": {"a": 1}}, "notes.a: expected a string, got 1"),
        ({"name": [0] * 99}, f"name: expected a string, got [{18 * '0, '}0,..."),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=f"^{re.escape(message)}$"):
        decode(Shape, VALUE | change)


def test_missing_field_at_the_top() -> None:
    with pytest.raises(SchemaError, match=r"^size: missing$"):
        decode(Shape, {key: value for key, value in VALUE.items() if key != "size"})


@pytest.mark.parametrize("value", [[], 3, None, "shape"])
def test_top_level_that_is_no_object(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"^top level: expected an object, got "):
        decode(Shape, value)
