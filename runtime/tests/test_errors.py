"""One line each, whatever a message is made of."""

from __future__ import annotations

import pickle

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.errors import MESSAGE_CHARACTERS, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \u4e2d\u6587 \U0001f408", "caf\u00e9 \u4e2d\u6587 \U0001f408"),
        ("C:\\new", "C:\\new"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x9b0m\x07", "\\x1b[31mred\\x9b0m\\x07"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("half \ud83d", "half \\ud83d"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_not_show_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize("limit", [40, 41])
def test_long_texts_lose_their_middle(limit: int) -> None:
    text = "out/: expected" + 99 * " more" + "; export it again"
    shown = printable(text, limit)
    assert len(shown) == limit
    beginning, _, end = shown.partition("...")
    assert beginning.startswith("out/: expected")
    assert end.endswith("; export it again")
    assert printable(text[:limit], limit) == text[:limit]
    assert printable(text) == text


def test_messages_are_one_short_line() -> None:
    error = ee.BundleError("out/\x1b[2J: expected\n" + "x" * 10**6 + "\n; export the bundle again")
    message = str(error)
    assert len(message) == MESSAGE_CHARACTERS
    assert message.isprintable()
    assert message.startswith("out/\\x1b[2J: expected\\nxxx")
    assert message.endswith("xxx\\n; export the bundle again")
    assert str(ee.InputError(message)) == message, "handed on, it stays as it is"
    assert str(pickle.loads(pickle.dumps(error))) == message
