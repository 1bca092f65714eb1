"""The command line as a whole: names, exit codes, and the types that commands share."""

from __future__ import annotations

import errno
import importlib
import math
import os
import re
import signal
import sys
from types import SimpleNamespace

import click
import pytest
from click.testing import Result
from support.command_line import invoke as run
from support.command_line import message
from support.messages import missing

from edgeexit.cli import COMMANDS
from edgeexit.cli.options.typed import cost
from edgeexit.cli.terminal import print_json
from edgeexit.errors import CheckpointError, EdgeExitError
from edgeexit.formats import format_cost, format_macs


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run a command that raises ``error``."""

    @click.command("flops")
    def command() -> None:
        raise error

    monkeypatch.setitem(sys.modules, "edgeexit.cli.flops", SimpleNamespace(command=command))
    return run("flops")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands_in_the_order_of_use(option: str) -> None:
    result = run.ok(option)
    listed = result.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.strip()] == list(COMMANDS)


def test_every_command_of_the_examples_exists() -> None:
    lines = [line.split() for line in run("--help").stdout.splitlines()]
    examples = [words[1] for words in lines if words[:1] == ["edgeexit"]]
    assert len(examples) >= 5
    assert set(examples) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_made_of_options_that_exist(name: str) -> None:
    command = importlib.import_module(COMMANDS[name]).command
    lines = command.help.replace("\\\n", " ").splitlines()
    examples = [line.split() for line in lines if line.split()[:2] == ["edgeexit", name]]
    assert examples
    known = {word for option in command.params for word in option.opts}
    assert {word for words in examples for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("name", ["train", "tune", "bench", "consistency"])
def test_all_options_but_help_are_in_sections(name: str) -> None:
    said = run(name, "--help").stdout
    assert re.findall("--[a-z-]+", said.partition("\nOther:\n")[2]) == ["--help"]


def test_version() -> None:
    result = run.ok("--version")
    assert result.stdout.startswith("edgeexit, version ")


def test_unknown_command_offers_the_close_one() -> None:
    assert "Error: unknown command 'flop': did you mean flops?" in run.refused("flop", code=2)


@pytest.mark.parametrize(
    ("error", "code"), [(CheckpointError("run/ckpt.pt: truncated"), 1), (EdgeExitError("no"), 1)]
)
def test_own_error_is_one_line_on_stderr(
    error: EdgeExitError, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = failing_with(error, monkeypatch)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == f"Error: {error}\n"


def test_missing_extra_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(ModuleNotFoundError("no", name="onnxruntime.capi"), monkeypatch)
    assert result.exit_code == 1
    install = "pip install 'edgeexit-runtime[cpu]'"
    assert result.stderr.startswith(f"Error: onnxruntime is not installed: {install}")
    assert len(result.stderr.splitlines()) == 1


def test_other_missing_module_is_our_bug_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = failing_with(ModuleNotFoundError("no", name="edgeexit.nonsense"), monkeypatch)
    assert isinstance(result.exception, ModuleNotFoundError)


class OutOfMemoryError(RuntimeError):
    """As torch's for GPUs."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "no more"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), "you tried to"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee"), "allocate 2 GiB."),
    ],
)
def test_no_memory_is_no_traceback(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = failing_with(error, monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: out of memory (")
    assert reason in result.stderr
    assert "choose smaller images or batches" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_no_room_is_no_traceback(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(number, os.strerror(number), "/tmp/edgeexit-1/stage1.onnx")
    result = failing_with(error, monkeypatch)
    assert result.exit_code == 1
    assert not missing(message(result), error.filename, os.strerror(number), "room", "TMPDIR")


def test_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing_with(KeyboardInterrupt(), monkeypatch)
    assert result.exit_code == 130
    assert result.stderr.strip() == "Error: interrupted; no file is half-written"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", [None, CheckpointError, RuntimeError])
def test_signal_is_no_traceback_whatever_becomes_of_it(
    kind: type[Exception] | None, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that got it too, for example, is an error in its parent."""

    @click.command("flops")
    def command() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as interrupt:
            if kind is None:
                raise
            raise kind("worker is killed") from interrupt

    monkeypatch.setitem(sys.modules, "edgeexit.cli.flops", SimpleNamespace(command=command))
    ended = f"ended by {number.name}; no file is half-written"
    expected = f"Error: {'worker is killed' if kind is CheckpointError else ended}"
    assert run.refused("flops", code=128 + number) == expected
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("91506688", 91_506_688),
        ("91.5M", 91_500_000),
        ("91.5m", 91_500_000),
        ("1.2G", 1_200_000_000),
        ("1.2B", 1_200_000_000),
        ("64K", 64_000),
        (" 3e6 ", 3_000_000),
        ("0.5e9", 500_000_000),
    ],
)
def test_costs_are_read_as_the_paper_writes_them(text: str, expected: float) -> None:
    assert math.isclose(cost(text), expected)


@pytest.mark.parametrize(
    "text", ["", "M", "many", "1.2T", "1.2GM", "-5M", "0", "0M", "nan", "nanM", "inf", "infG"]
)
def test_costs_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        cost(text)
    assert not missing(caught.value.message, "above 0", "91.5M", "1.2G", "1.25", f"got {text!r}")


@pytest.mark.parametrize(
    ("macs", "expected"),
    [
        (46_974_464, "46.97M"),
        (1_814_073_344, "1.814G"),
        (132_800_768, "132.80M"),
        (512_000, "0.51M"),
        (640, "640"),
    ],
)
def test_macs_are_printed_as_the_paper_rounds_them(macs: int, expected: str) -> None:
    assert format_macs(macs) == expected


def test_costs_are_printed_with_their_unit() -> None:
    assert format_cost(46_974_464, "MACs") == "46.97M MACs"
    assert format_cost(1.23456, "ms") == "1.235 ms"


def test_json_is_all_there_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "exit1"})
    assert capsys.readouterr().out == '{\n  "name": "exit1"\n}\n'
