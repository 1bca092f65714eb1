"""Registries of backbones and branches.

A new backbone is one file in ``backbones/`` with a decorated builder, and a new branch one file in
``branches/``; nothing else changes::

    @register_backbone(input_size=(3, 32, 32))
    def my_net(num_classes: int, input_size: tuple[int, int, int]) -> Backbone: ...

    @register_branch("my branch", token="my", example="my")
    def my_branch(site: BranchSite, token: str) -> nn.Module: ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from edgeexit.errors import SpecError
from edgeexit.models.backbone import Backbone
from edgeexit.models.spec import FeatureInfo
from edgeexit.models.weights.fitting import LoadedWeights
from edgeexit.registry import Registry

BackboneBuilder = Callable[[int, tuple[int, int, int]], Backbone]
Builder = TypeVar("Builder", bound=BackboneBuilder)


@dataclass(frozen=True, slots=True)
class BackboneEntry:
    """A registered backbone.

    ``load_pretrained`` loads public weights into a built backbone and returns which ones.
    """

    name: str
    build: BackboneBuilder
    input_size: tuple[int, int, int]
    load_pretrained: Callable[[Backbone], LoadedWeights] | None


@dataclass(frozen=True, slots=True)
class BranchSite:
    """Where a branch is placed: its input, and the last feature map with a branch.

    Every SE-B branch of a network first brings its features to the size of ``last``
    (Section IV-B), so that its cost depends only on its level.
    """

    features: FeatureInfo
    last: FeatureInfo
    num_classes: int

    @property
    def feature_map(self) -> FeatureInfo:
        """``features``, checked to be a feature map ``(channels, height, width)``.

        Raises:
            SpecError: the features have another number of dimensions.
        """
        if len(self.features.shape) != 3:
            raise SpecError(
                f"branch on {self.features.name}: expected a feature map (channels, height, "
                f"width), got shape {self.features.shape}; a naive branch, n, reads tokens too"
            )
        return self.features


BranchBuilder = Callable[[BranchSite, str], nn.Module]


@dataclass(frozen=True, slots=True)
class BranchEntry:
    """A registered kind of branch and the regular expression of its pattern tokens."""

    name: str
    token: str
    example: str
    build: BranchBuilder


_BACKBONES: Registry[BackboneEntry] = Registry("backbone", package="edgeexit.models.backbones")
_BRANCHES: Registry[BranchEntry] = Registry("branch", package="edgeexit.models.branches")


def register_backbone(
    name: str | None = None,
    *,
    input_size: tuple[int, int, int],
    pretrained: Callable[[Backbone], LoadedWeights] | None = None,
) -> Callable[[Builder], Builder]:
    """Register a builder under ``name``, by default its own, with its default input size."""

    def register(build: Builder) -> Builder:
        key = name or build.__name__
        _BACKBONES.register(key)(BackboneEntry(key, build, input_size, pretrained))
        return build

    return register


def register_branch(
    name: str, *, token: str, example: str
) -> Callable[[BranchBuilder], BranchBuilder]:
    """Register a branch for all pattern tokens that match the regular expression ``token``."""

    def register(build: BranchBuilder) -> BranchBuilder:
        _BRANCHES.register(name)(BranchEntry(name, token, example, build))
        return build

    return register


def list_backbones() -> list[str]:
    """Return the names of all registered backbones, sorted."""
    return _BACKBONES.names()


def list_branches() -> list[BranchEntry]:
    """Return all registered kinds of branch."""
    return _BRANCHES.values()


def backbone_entry(name: str) -> BackboneEntry:
    """Return the backbone that is registered as ``name``.

    Raises:
        UnknownNameError: no backbone has that name; the message suggests close matches.
    """
    return _BACKBONES[name]


def branch_entry(token: str) -> BranchEntry:
    """Return the kind of branch of a pattern token.

    Raises:
        SpecError: the token is unknown.
    """
    entries = list_branches()
    for entry in entries:
        if re.fullmatch(entry.token, token):
            return entry
    known = ", ".join(f"{entry.example} ({entry.name})" for entry in entries)
    raise SpecError(f"unknown branch {token!r} in the pattern: known are {known}")


def pretrained_loader(name: str, advice: str) -> Callable[[Backbone], LoadedWeights]:
    """Return the function that loads public weights into the backbone ``name``.

    Raises:
        UnknownNameError: no backbone has that name.
        SpecError: it has no public weights; ``advice`` says what to do instead.
    """
    load = backbone_entry(name).load_pretrained
    if load is None:
        known = [other for other in list_backbones() if backbone_entry(other).load_pretrained]
        raise SpecError(
            f"{name} has no pretrained weights: {advice} or use one of {', '.join(known)}"
        )
    return load


def create_branch(token: str, site: BranchSite) -> nn.Module:
    """Build the branch of a pattern token for its place in the network."""
    return branch_entry(token).build(site, token)
