"""Progress of a TensorRT build, from the nested phases that it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.tensorrt.log import Reasons


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: float = 0


class Phases:
    """The phases in progress: each is one step of its parent phase, which has several steps."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Record the start of a phase with ``steps`` steps."""
        self._phases[name] = _Phase(parent if parent in self._phases else None, max(1, steps))

    def step(self, name: str, index: int) -> None:
        """Record the end of step ``index`` of a phase."""
        if name in self._phases:
            self._phases[name].done = index + 1

    def finish(self, name: str) -> None:
        """Record the end of a phase."""
        self._phases.pop(name, None)

    @property
    def share(self) -> float:
        """The part of the outermost phase that is done, 0 to 1; it never decreases."""
        total = 0.0
        for phase in self._phases.values():
            part = min(phase.done, phase.steps) / phase.steps
            while phase.parent in self._phases:
                phase = self._phases[phase.parent]
                part /= phase.steps
            total += part
        self._share = min(1.0, max(self._share, total))
        return self._share


def make_monitor(module: Any, report: Callable[[str, float], None], reasons: Reasons) -> Any:
    """Return a progress monitor, which TensorRT calls during the build.

    Ctrl-C may raise KeyboardInterrupt in any of its methods, which must not propagate through
    TensorRT: ``reasons.cancelled`` is set instead, and the build stops.
    """

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self._phases = Phases()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._call(phase_name, lambda: self._phases.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._call(phase_name, lambda: self._phases.step(phase_name, step))
            return not reasons.cancelled

        def phase_finish(self, phase_name: str) -> None:
            self._call(phase_name, lambda: self._phases.finish(phase_name))

        def _call(self, phase: str, change: Callable[[], None]) -> None:
            try:
                change()
                report(phase, self._phases.share)
            except KeyboardInterrupt:
                reasons.cancelled = True

    return Monitor()
