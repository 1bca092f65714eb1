"""Networks of timm and torchvision, from ``inspect`` to the runtime; written to docs/results/.

    python benchmarks/networks_results.py [--runs results] [-o docs/results] [--report]

Of every family of timm the first model of at most 100 million parameters, or the first where none
is so small, and every classifier of torchvision, with random weights: exits where ``--exits auto``
puts them, attached, exported and verified as in every export, and run by the runtime. Each network
has its own process with a limit of memory and time. Finished results below ``--runs`` are kept, and
so are those of the same versions in the output folder, except for networks that are named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from report_files import Row, markdown, write_results

if TYPE_CHECKING:
    from torch import nn

    from edgeexit.models import MultiExitNet

CLASSES = 10
PIXELS = 128
"""If the model accepts images of that size, else the size that it is meant for."""
MOST_PARAMETERS = 100_000_000
GIGABYTE = 2**30
SETTLED_ON = 8  # images
BATCHES = (1, 3)
TOLERANCE = 1e-3
"""Of confidences in the runtime against PyTorch."""
STEPS = ("auto", "attach", "export", "runtime")

REPORT = """# Networks of timm and torchvision

Written by `make results` (`benchmarks/networks_results.py`); the same results are in
[networks.json](networks.json).

Each network, with random weights and {classes} classes, passes these steps: exits where `--exits
auto` puts them, with naive branches; `attach_exits`; an FP32 export, which is compared with the
network; and the runtime, where every exit is forced at batches of 1 and 3 and its labels and
confidences are compared with PyTorch's. Images have {pixels} pixels per side if the model accepts
them, else the size that the model is meant for. From timm, it is the first model of each family
with at most 100 million parameters, or the first one if none is that small; from torchvision, every
classifier. {versions}.

{summary}

## Refused networks

{refused}

*auto* is the proposal of branching points, *attach* the cut there, *process* a limit of memory or
time.

## Networks that passed all steps

*difference* is the largest of any logit between the export and PyTorch, relative to the exit's
largest logit.

{accepted}
"""


@dataclass(frozen=True, slots=True)
class Tried:
    """The result for one network.

    Attributes:
        library: ``timm`` or ``torchvision``.
        family: timm's module; in torchvision the model itself.
        model: its name in the library.
        pixels: height and width of the images.
        parameters: of the network as the library builds it.
        exits: where ``auto`` has put them.
        refused_at: the step of :data:`STEPS` that failed; None if none did.
        reason: its message.
        is_fault: it was not one of edgeexit's own messages.
        difference: the largest of any logit in the export, relative to the largest logit.
    """

    library: str
    family: str
    model: str
    pixels: int = 0
    parameters: int = 0
    exits: tuple[str, ...] = ()
    refused_at: str | None = None
    reason: str = ""
    is_fault: bool = False
    difference: float | None = None

    @property
    def name(self) -> str:
        return f"{self.library}-{self.family}"

    @property
    def shown(self) -> str:
        return f"{self.library} {self.model or self.family}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="timm-levit, torchvision-resnet18; all")
    parser.add_argument("--runs", type=Path, default=Path("results"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks at a time")
    parser.add_argument("--minutes", type=float, default=30, help="of each network, at most")
    parser.add_argument("--gigabytes", type=float, default=8, help="of each network, at most")
    parser.add_argument("--report", action="store_true", help="of what is finished; try nothing")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    runs = options.runs / "networks"
    known = known_networks()
    tried = {} if options.networks else stored(options.output)
    waiting = [
        name
        for name in options.networks or known
        if name not in tried and not (runs / f"{name}.json").exists()
    ]
    if not options.report:
        try_all(waiting, runs, options.jobs, options.minutes, options.gigabytes)
    files = [runs / f"{name}.json" for name in known]
    tried = stored(options.output) | {f.stem: load(f) for f in files if f.exists()}
    write_report(options.output, [tried[name] for name in known if name in tried], known)


def known_networks() -> list[str]:
    """Return the names of all networks that are tried."""
    import timm
    from torchvision import models

    return [
        *(f"timm-{family}" for family in timm.list_modules() if timm.list_models(module=family)),
        *(f"torchvision-{model}" for model in models.list_models(module=models)),
    ]


def try_all(names: Sequence[str], runs: Path, jobs: int, minutes: float, gigabytes: float) -> None:
    """Try networks, each in its own process; a process that ends early is the network's result.

    The processes are forked, since importing what all of them need takes seconds.
    """
    import onnxsim  # noqa: F401
    import torch

    import edgeexit.export.bundle  # noqa: F401

    with contextlib.suppress(ImportError):  # torchvision's networks do without
        import timm  # noqa: F401
    torch.set_num_threads(1)
    processes = multiprocessing.get_context("fork")
    waiting, running = list(names), dict[Any, tuple[str, Any, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            print(name, flush=True)
            process = processes.Process(target=_try_here, args=(name, runs, gigabytes))
            process.start()
            running[process.sentinel] = name, process, time.monotonic() + 60 * minutes
        first = min(until for _, _, until in running.values())
        wait(list(running), max(0.0, first - time.monotonic()))
        for sentinel, (name, process, until) in list(running.items()):
            late = time.monotonic() > until
            if process.is_alive() and not late:
                continue
            process.kill()
            process.join()
            del running[sentinel]
            if not (runs / f"{name}.json").exists():
                reason = f"takes more than {minutes:g} minutes"
                save(_ended(name, reason if late else f"ended with {process.exitcode}"), runs)


def _try_here(name: str, runs: Path, gigabytes: float) -> None:
    limit = int(gigabytes * GIGABYTE)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    save(try_network(name), runs)


def _ended(name: str, reason: str) -> Tried:
    library, _, family = name.partition("-")
    return Tried(library, family, "", refused_at="process", reason=reason, is_fault=True)


def try_network(name: str) -> Tried:
    """Take a network through all steps, or as far as it gets."""
    import torch

    library, _, family = name.partition("-")
    torch.manual_seed(0)
    build, model_name, sizes = _timm(family) if library == "timm" else _torchvision(family)
    for pixels in sizes:
        tried = _whole_way(Tried(library, family, model_name, pixels), build)
        if tried.refused_at != STEPS[0] or tried.exits:
            break
    return tried


def _timm(family: str) -> tuple[Callable[[], nn.Module], str, list[int]]:
    import timm
    import torch

    names = timm.list_models(module=family)
    for name in names:
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=CLASSES)
        if _parameters(model) <= MOST_PARAMETERS:
            break
    else:
        name = names[0]  # the last are encoders without a classifier
    configuration: Any = timm.get_pretrained_cfg(name, allow_unregistered=True)
    sizes = _sizes(configuration.input_size[1])
    return lambda: timm.create_model(name, num_classes=CLASSES), name, sizes


def _torchvision(name: str) -> tuple[Callable[[], nn.Module], str, list[int]]:
    from torchvision import models

    size = 299 if name == "inception_v3" else 224
    return lambda: models.get_model(name, num_classes=CLASSES), name, _sizes(size)


def _sizes(usual: int) -> list[int]:
    return [PIXELS, usual] if usual > PIXELS else [usual]


def _parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def _whole_way(tried: Tried, build: Callable[[], nn.Module]) -> Tried:
    """Return ``tried`` with all results."""
    from edgeexit.errors import EdgeExitError
    from edgeexit.models import attach_exits
    from edgeexit.models.attach import inspect_points
    from edgeexit.models.tracing.cuts.points import propose_points

    step = STEPS[0]
    size = (3, tried.pixels, tried.pixels)
    try:
        model = _settled(build(), size)
        tried = dataclasses.replace(tried, parameters=_parameters(model))
        points = inspect_points(model, size)
        exits = tuple(point.name for point in propose_points(points, size))
        tried = dataclasses.replace(tried, exits=exits)
        if not exits:
            reason = f"no exits are proposed; {len(points)} points to choose from"
            return dataclasses.replace(tried, refused_at=step, reason=reason)
        step = STEPS[1]
        net = attach_exits(model, branches="+".join("n" * len(exits)), input_size=size)
        with TemporaryDirectory() as folder:
            step = STEPS[2]
            difference = _export(net, Path(folder) / "bundle", model)
            step = STEPS[3]
            _run(net, Path(folder) / "bundle")
        return dataclasses.replace(tried, difference=difference)
    except EdgeExitError as error:
        return dataclasses.replace(tried, refused_at=step, reason=str(error))
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return _ended(tried.name, "takes more memory than it is given")
        reason = f"{type(error).__name__}: {str(error).strip()}"[:500]
        return dataclasses.replace(tried, refused_at=step, reason=reason, is_fault=True)


def _settled(model: nn.Module, size: tuple[int, int, int]) -> nn.Module:
    """Give batch norm statistics of noise: otherwise all answers of a deep network are alike."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from edgeexit.planning.candidates import noise

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(noise(SETTLED_ON, size, seed=1)))
    return model.eval()


def _export(net: MultiExitNet, folder: Path, model: nn.Module) -> float:
    """Write the bundle; return the largest relative difference of any logit."""
    from edgeexit_runtime.bundle.manifest import load_manifest

    from edgeexit.planning.candidates import export_untrained

    export_untrained(net.eval(), folder, model=model, baseline=False)
    verification = load_manifest(folder).verification
    assert verification is not None
    return max(float(exit_["relative_logit_difference"]) for exit_ in verification["exits"])


def _run(net: MultiExitNet, folder: Path) -> None:
    """Compare every exit in the runtime with PyTorch.

    Raises:
        AssertionError: the results differ.
    """
    import numpy as np
    import torch
    from edgeexit_runtime import load
    from random_bundles import force

    from edgeexit.planning.candidates import noise

    with load(folder, threads=1) as session, torch.inference_mode():
        for batch in BATCHES:
            images = noise(batch, net.spec.input_size, seed=batch)
            for number, (name, logits) in enumerate(net(torch.from_numpy(images)).items()):
                force(session, name)
                got, wanted = session.infer(images), logits.softmax(1).numpy()
                assert (got.exits == number).all(), f"{name}: left at {got.exits}"
                of_labels = wanted[np.arange(batch), got.labels]  # equal values may swap labels
                for found in (got.confidences, of_labels):
                    difference = float(np.abs(found - wanted.max(1)).max())
                    assert difference < TOLERANCE, f"{name}: {difference:.2g} beside PyTorch"


def save(tried: Tried, runs: Path) -> None:
    """Write the result for a network to the folder ``runs``."""
    from edgeexit.files import write_json

    write_json(runs / f"{tried.name}.json", dataclasses.asdict(tried))


def load(path: Path) -> Tried:
    """Read what :func:`save` has written."""
    from edgeexit.files import read_json

    return _tried(read_json(path))


def stored(output: Path) -> dict[str, Tried]:
    """Read the networks of a report in the folder ``output``, if it is of these versions."""
    from edgeexit.files import read_json

    path = output / "networks.json"
    report: dict[str, Any] = read_json(path) if path.exists() else {"versions": {}}
    if report["versions"] != versions():
        return {}
    return {name: _tried(values) for name, values in report["networks"].items()}


def _tried(values: dict[str, Any]) -> Tried:
    return Tried(**{**values, "exits": tuple(values["exits"])})


def versions() -> dict[str, str]:
    """Return the versions of the libraries whose networks are tried."""
    import importlib.metadata

    found = {}
    for name in ("torch", "torchvision", "timm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_report(output: Path, tried: Sequence[Tried], known: Sequence[str]) -> None:
    """Write ``networks.md`` and ``networks.json`` to the folder ``output``.

    Args:
        output: the folder.
        tried: the results for networks.
        known: the names of all networks to try.
    """
    summary: list[Row] = [("", "tried", "all steps passed")]
    for library in ("timm", "torchvision"):
        own = [one for one in tried if one.library == library]
        total = sum(name.startswith(f"{library}-") for name in known)
        done = sum(one.refused_at is None for one in own)
        summary.append((library, f"{len(own)} of {total}", done))
    refused: list[Row] = [("network", "at", "reason")]
    accepted: list[Row] = [("network", "pixels", "parameters", "exits behind", "difference")]
    for one in tried:
        if one.refused_at is not None:
            refused.append((one.shown, one.refused_at, one.reason))
            continue
        size, exits = f"{one.parameters / 1e6:.1f}M", ", ".join(one.exits)
        accepted.append((one.shown, one.pixels, size, exits, f"{one.difference:.1g}"))
    text = REPORT.format(
        classes=CLASSES,
        pixels=PIXELS,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        summary=markdown(summary),
        refused=markdown(refused),
        accepted=markdown(accepted),
    )
    networks = {one.name: one for one in tried}
    write_results(output, "networks", text, {"versions": versions(), "networks": networks})


if __name__ == "__main__":
    main()
