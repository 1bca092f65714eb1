"""Typed options, a recipe and a file -> the configuration of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from edgeexit.training import TrainConfig

DATA_FIELDS = {
    "dataset": "name",
    "data_dir": "data_dir",
    "download": "download",
    "input_size": "input_size",
    "channels": "channels",
    "mean": "mean",
    "resize": "resize",
    "std": "std",
    "hold_out": "hold_out",
    "augmentation": "augmentation",
    "skip_corrupt": "skip_corrupt",
    "max_pixels": "max_pixels",
}
"""By option, the field of DataConfig that it sets."""

NOT_CONFIG = ("output", "resume", "as_json", "model", "recipe", "config_file")


@dataclass(frozen=True, slots=True)
class _Layer:
    """Options from one source: fields of TrainConfig, and of DataConfig."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, Any]:
        """Every value, by the name of its option."""
        names = {value: name for name, value in DATA_FIELDS.items()}
        data = {names[name]: value for name, value in self.data.items()}
        return {**self.fields, **data}


@dataclass(frozen=True, slots=True)
class Choice:
    """A configuration, and remarks on its sources."""

    config: TrainConfig
    remarks: tuple[str, ...]


def choose_config(ctx: click.Context) -> Choice:
    """Return the configuration of a new run: defaults, then a recipe, a file and typed options.

    Raises:
        UnknownNameError, InputError: there is no such recipe; the file cannot be used.
        click.UsageError: the network or the data set is not given; a value is invalid.
    """
    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig

    typed = _typed(ctx)
    file = _file_layer(ctx.params["config_file"])
    backbone = {**file.fields, **typed.fields}.get("backbone", "")
    recipe = _recipe_layer(ctx.params["recipe"], backbone)
    fields = {**recipe.fields, **file.fields, **typed.fields}
    typed = _with_size(typed, {**recipe.data, **file.data})
    data = {**recipe.data, **file.data, **typed.data}
    fields.setdefault("branches", "none")
    for what, given in (
        ("'--backbone' or '--model'", fields.get("backbone")),
        ("'--dataset'", data.get("name")),
    ):
        if given is None:
            raise click.UsageError(f"Missing option {what} (or continue with --resume).", ctx)
    remarks = _remarks(ctx, recipe, file, typed)
    try:
        return Choice(TrainConfig(data=DataConfig(**data), **fields), remarks)
    except ValueError as error:  # a rule of the configuration, such as lr not being nan
        raise click.UsageError(str(error), ctx) from error


def resumed_config(ctx: click.Context, stored: TrainConfig) -> TrainConfig:
    """Return a run's own configuration, overridden by the typed options."""
    from dataclasses import asdict, replace

    for name in ("recipe", "config_file"):
        if ctx.params[name] is not None:
            option = "--recipe" if name == "recipe" else "--config"
            raise click.UsageError(f"{option} starts a run; omit it to continue one", ctx)
    typed = _with_size(_typed(ctx), asdict(stored.data))
    try:
        return replace(stored, data=replace(stored.data, **typed.data), **typed.fields)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from error


def _typed(ctx: click.Context) -> _Layer:
    given = {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    data = {DATA_FIELDS[name]: value for name, value in given.items() if name in DATA_FIELDS}
    fields = {
        name: value
        for name, value in given.items()
        if name not in DATA_FIELDS and name not in NOT_CONFIG
    }
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


def _remarks(ctx: click.Context, recipe: _Layer, file: _Layer, typed: _Layer) -> tuple[str, ...]:
    """Return lines on the options that a recipe and a file set, and which were overridden."""
    lines = []
    over_recipe = {**file.named, **typed.named}
    if ctx.params["recipe"] is not None:
        from edgeexit.training.settings.recipes import RECIPES

        name = ctx.params["recipe"]
        lines.append(f"recipe {name}: {RECIPES[name].title}")
        lines.append(f"  sets {_list(recipe.named, over_recipe)}")
    if ctx.params["config_file"] is not None:
        changed = {n: v for n, v in file.named.items() if typed.named.get(n, v) != v}
        but = f", but for {_list(changed, typed.named)}" if changed else ""
        lines.append(f"configuration of {ctx.params['config_file']}{but}")
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
