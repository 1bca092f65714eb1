"""The opened candidates of one benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime import load, load_baseline

from edgeexit.bench.results.mixture import BASELINE, BASELINE_NAME, EARLY_EXIT, EARLY_EXIT_NAME
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.backends import BackendPlan, OtherBackend
from edgeexit.bench.timing.candidates import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Candidates, each with its session.

    Attributes:
        baseline: the plain backbone, the reference of all ratios.
        early_exit: the bundle at its own thresholds.
        versus: another model; None if none was named.
        backends: the bundle on other backends.
    """

    baseline: Candidate
    early_exit: Candidate
    versus: Candidate | None
    backends: tuple[OtherBackend, ...]

    @property
    def compared(self) -> tuple[Candidate, ...]:
        """All of them, the baseline first, then early exit."""
        versus = () if self.versus is None else (self.versus,)
        others = (other.candidate for other in self.backends)
        return self.baseline, self.early_exit, *versus, *others


@contextmanager
def open_candidates(
    engine_dir: str | Path, plan: BackendPlan, options: BenchOptions
) -> Iterator[Opened]:
    """Load a bundle, its plain backbone, and the other model and backends to compare with.

    Raises:
        BackendError: a backend does not start.
        BundleError: the folder holds no bundle, or one without the plain backbone.
        DataError, InputError: as :func:`edgeexit.bench.timing.versus.open_versus`.
    """
    chosen = options.loading(plan.measured)
    with ExitStack() as stack:
        baseline = stack.enter_context(load_baseline(engine_dir, **chosen))
        session = stack.enter_context(load(engine_dir, **chosen))
        versus = None
        if options.versus is not None:
            from edgeexit.bench.timing.versus import open_versus  # imports onnx

            opened = open_versus(Path(options.versus), session.manifest, chosen)
            versus = stack.enter_context(opened)
        backends = tuple(_load_others(stack, engine_dir, plan, options))
        yield Opened(
            Candidate(BASELINE, BASELINE_NAME, baseline, {}),
            Candidate(EARLY_EXIT, EARLY_EXIT_NAME, session, session.manifest.thresholds),
            versus,
            backends,
        )


def _load_others(
    stack: ExitStack, engine_dir: str | Path, plan: BackendPlan, options: BenchOptions
) -> Iterator[OtherBackend]:
    for choice in plan.others:
        chosen = options.loading(choice)
        session = stack.enter_context(load(engine_dir, **chosen))
        if choice.threads is not None and session.threads is None:
            continue  # it runs on another device, so the number of threads makes no difference
        baseline = stack.enter_context(load_baseline(engine_dir, **chosen))
        yield OtherBackend(choice.name, session, baseline)
