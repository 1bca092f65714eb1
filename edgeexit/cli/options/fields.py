"""Options declared once, as fields of frozen dataclasses that commands take as objects."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

Decorator = Callable[[Any], Any]
Values = TypeVar("Values", bound="DataclassInstance")


def option(help: str | None, *names: str, section: str = "", **settings: Any) -> Any:
    """Declare an option as a field of a dataclass.

    Args:
        help: the line in the command's help.
        names: its names; by default the field's.
        section: a title above it and all that follow, see :class:`SectionedCommand`.
        settings: of :func:`click.option`; the default is also the field's.
    """
    default = settings.get("default")
    settings = {"help": help, "show_default": default not in (None, ""), **settings}

    def add(name: str) -> Decorator:
        return click.option(*(names or ["--" + name.replace("_", "-")]), name, **settings)

    return dataclasses.field(default=default, metadata={"add": add, "section": section})


def flag(help: str, *names: str, **settings: Any) -> Any:
    """Declare an option without a value."""
    return option(help, *names, is_flag=True, default=False, **settings)


def argument(metavar: str | None, **settings: Any) -> Any:
    """Declare a positional argument."""

    def add(name: str) -> Decorator:
        return click.argument(name, metavar=metavar, **settings)

    return dataclasses.field(default=None, metadata={"add": add, "section": ""})


def options(kind: type[DataclassInstance], section: str = "") -> Decorator:
    """Return a decorator that adds the options of a dataclass to a command.

    Args:
        kind: the dataclass; the help lists its fields in their order.
        section: a title above them.
    """

    def add(function: Any) -> Any:
        for field in reversed(dataclasses.fields(kind)):
            function = field.metadata["add"](field.name)(function)
            function.__click_params__[-1].section = field.metadata["section"]
        function.__click_params__[-1].section = section
        return function

    return add


def takes(kind: type[DataclassInstance], section: str = "") -> Decorator:
    """Return a decorator that also passes them to the command as one object.

    Objects of several decorators are positional arguments in the order of the decorators.
    """

    def add(function: Any) -> Any:
        @functools.wraps(function)
        def run(*before: object, **values: Any) -> Any:
            return function(*before, taken(kind, values), **values)

        return options(kind, section)(run)

    return add


def taken(kind: type[Values], values: dict[str, Any]) -> Values:
    """Remove the options of a dataclass from ``values`` and return them as an object of it."""
    return kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})


class SectionedCommand(click.Command):
    """A command whose ``--help`` lists its options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        title = ""
        for parameter in self.get_params(ctx):
            title = getattr(parameter, "section", "Other") or title  # --help has none
            record = parameter.get_help_record(ctx)
            # arguments are in the usage line
            if isinstance(parameter, click.Option) and record is not None:
                rows.setdefault(title, []).append(record)
        for title, listed in rows.items():
            with formatter.section(title):
                formatter.write_dl(listed)
