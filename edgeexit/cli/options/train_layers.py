"""Typed options, a recipe and a file -> the configuration of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgeexit.cli.options.shared import refuse
from edgeexit.cli.options.train import TrainOptions

if TYPE_CHECKING:
    from edgeexit.training import TrainConfig


@dataclass(frozen=True, slots=True)
class _Layer:
    """Options from one source: fields of TrainConfig, and of DataConfig."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, Any]:
        """Every value, by the name of its option."""
        data = {"dataset" if name == "name" else name: it for name, it in self.data.items()}
        return {**self.fields, **data}


def choose_config(options: TrainOptions) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return the configuration of a new run, and remarks on its sources.

    Typed options take precedence over a file, a file over a recipe.

    Raises:
        UnknownNameError, InputError: there is no such recipe; the file cannot be used.
        click.UsageError: the network or the data set is not given; a value is invalid.
    """
    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig

    typed = _typed()
    file = _file_layer(options.config)
    backbone = {**file.fields, **typed.fields}.get("backbone", "")
    recipe = _recipe_layer(options.recipe, backbone)
    fields = {**recipe.fields, **file.fields, **typed.fields}
    typed = _with_size(typed, {**recipe.data, **file.data})
    data = {**recipe.data, **file.data, **typed.data}
    fields.setdefault("branches", "none")
    for what, given in (
        ("'--backbone' or '--model'", fields.get("backbone")),
        ("'--dataset'", data.get("name")),
    ):
        if given is None:
            raise click.UsageError(f"Missing option {what} (or continue with --resume).")
    remarks = _remarks(options, recipe, file, typed)
    try:
        return TrainConfig(data=DataConfig(**data), **fields), remarks
    except ValueError as error:  # a rule of the configuration, such as lr not being nan
        raise click.UsageError(str(error)) from error


def resumed_config(stored: TrainConfig) -> TrainConfig:
    """Return a run's own configuration, overridden by the typed options."""
    refuse(("recipe", "config"), "starts a run; omit it to continue one")
    typed = _with_size(_typed(), dataclasses.asdict(stored.data))
    try:
        data = dataclasses.replace(stored.data, **typed.data)
        return dataclasses.replace(stored, data=data, **typed.fields)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _typed() -> _Layer:
    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig

    context = click.get_current_context()
    given = {
        "name" if name == "dataset" else name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    fields, data = (
        {it.name: given[it.name] for it in dataclasses.fields(kind) if it.name in given}
        for kind in (TrainConfig, DataConfig)
    )
    if given.get("model") is not None:
        if "backbone" in fields:
            raise click.UsageError("expected one of --backbone and --model, got both")
        fields["backbone"] = given["model"]
    elif "backbone" in fields:
        for name in ("exits", "outputs"):
            if fields.get(name):
                raise click.UsageError(
                    f"--{name} goes with --model; a registered backbone has its own"
                )
    return _Layer(fields, data)


def _with_size(typed: _Layer, below: Mapping[str, Any]) -> _Layer:
    """Return typed options with height, width and channels joined to one input size, if known.

    Args:
        typed: typed options, whose input size is (height, width).
        below: the data's fields from a recipe, file or run, which typed options override.
    """
    data, size = typed.data, typed.data.get("input_size") or below.get("input_size")
    if size is None or not {"input_size", "channels"} & data.keys():
        return typed
    channels = data.get("channels") or below.get("channels") or (below.get("input_size") or [3])[0]
    sized = {**data, "channels": None, "input_size": (channels, *size[-2:])}
    return _Layer(typed.fields, sized)


def _file_layer(path: Path | None) -> _Layer:
    if path is None:
        return _Layer()
    from edgeexit.training.settings.config_file import read_options

    options = read_options(path)
    data = options.pop("data", {})
    return _Layer(options, data)


def _recipe_layer(name: str | None, backbone: str) -> _Layer:
    if name is None:
        return _Layer()
    from edgeexit.training.settings.recipes import RECIPES

    recipe = RECIPES[name]
    return _Layer(recipe.options(backbone), recipe.data)


def _remarks(options: TrainOptions, recipe: _Layer, file: _Layer, typed: _Layer) -> tuple[str, ...]:
    """Return lines on the options that a recipe and a file set, and which were overridden."""
    lines = []
    over_recipe = {**file.named, **typed.named}
    if options.recipe is not None:
        from edgeexit.training.settings.recipes import RECIPES

        name = options.recipe
        lines.append(f"recipe {name}: {RECIPES[name].title}")
        lines.append(f"  sets {_list(recipe.named, over_recipe)}")
    if options.config is not None:
        changed = {n: v for n, v in file.named.items() if typed.named.get(n, v) != v}
        but = f", but for {_list(changed, typed.named)}" if changed else ""
        lines.append(f"configuration of {options.config}{but}")
    return tuple(lines)


def _list(values: Mapping[str, Any], over: Mapping[str, Any]) -> str:
    """Return ``values`` as text with overridden ones marked: ``epochs 300 (here 5), lr 0.01``."""
    parts = []
    for name, value in values.items():
        here = f" (here {_shown(over[name])})" if over.get(name, value) != value else ""
        parts.append(f"{name.replace('_', '-')} {_shown(value)}{here}")
    return ", ".join(parts)


def _shown(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    channels, height, width = value
    return f"{height}x{width}" + ("" if channels == 3 else f" of {channels} channel")
