"""NVIDIA GPUs through NVML, NVIDIA's management library, and its Python module nvidia-ml-py.

Functions and units: https://docs.nvidia.com/deploy/nvml-api/. NVML numbers all GPUs of the machine,
CUDA only those named in ``CUDA_VISIBLE_DEVICES``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from edgeexit.bench.device.meters import CounterMeter, Meter, PowerMeter
from edgeexit.bench.results.energy import EnergySensor
from edgeexit.bench.results.state import Clock, Temperature, ThrottleSign

J_PER_MJ = W_PER_MW = 1e-3
# https://docs.nvidia.com/deploy/nvml-api/api/group__nvmlClocksEventReasons.html
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


class Gpu:
    """One GPU. Values that NVML does not report are omitted.

    Args:
        nvml: the module ``pynvml``, initialized.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.name = self._query("nvmlDeviceGetName") or "GPU"
        if isinstance(self.name, bytes):  # before nvidia-ml-py 11.5
            self.name = self.name.decode()

    def meter(self) -> Meter | None:
        """Return the energy counter, or a power meter on GPUs without one (before Volta)."""
        for function, make, scale in (
            ("nvmlDeviceGetTotalEnergyConsumption", CounterMeter, J_PER_MJ),
            ("nvmlDeviceGetPowerUsage", PowerMeter, W_PER_MW),
        ):
            if self._query(function) is not None:
                sensor = EnergySensor("NVML", self.name, function)
                meter: Meter = make(sensor, self._reader(function, scale))
                return meter
        return None

    def clocks(self) -> tuple[Clock, ...]:
        """Return the clock of the multiprocessors. NVML does not report a lowered limit."""
        kind = self._nvml.NVML_CLOCK_SM
        now = self._query("nvmlDeviceGetClockInfo", kind)
        most = self._query("nvmlDeviceGetMaxClockInfo", kind)
        if now is None or most is None:
            return ()
        return (Clock(self.name, float(now), float(most), float(most)),)

    def temperatures(self) -> tuple[Temperature, ...]:
        """Return the chip's temperature."""
        celsius = self._query("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU)
        return () if celsius is None else (Temperature(self.name, float(celsius)),)

    def signs(self) -> tuple[ThrottleSign, ...]:
        """Return one sign for each reason to slow down that matters for a benchmark."""
        reasons = self._query("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # its name before driver 535
            reasons = self._query("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is None:
            return ()
        return tuple(
            ThrottleSign(f"{self.name}: {reason}", False, int(bool(reasons & bit)))
            for bit, reason in REASONS.items()
        )

    def _query(self, function: str, *arguments: Any) -> Any:
        """Call an NVML function; return None if this GPU, driver or module lacks it."""
        call = getattr(self._nvml, function, None)
        if call is None:
            return None
        try:
            return call(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None

    def _reader(self, function: str, scale: float) -> Callable[[], float]:
        def read() -> float:
            try:
                return float(getattr(self._nvml, function)(self._handle)) * scale
            except self._nvml.NVMLError as error:
                raise OSError(f"{function}: {error}") from error

        return read


def open_gpu(
    nvml: Any = None, environment: Mapping[str, str] = os.environ
) -> tuple[Gpu | None, str | None]:
    """Return CUDA's first GPU, or None and the reason.

    Args:
        nvml: the module; None imports ``pynvml``.
        environment: with ``CUDA_VISIBLE_DEVICES``.
    """
    if nvml is None:
        try:
            import pynvml

            nvml = pynvml
        except ImportError:
            return None, "NVML: nvidia-ml-py is not installed; pip install 'edgeexit[energy]'"
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    try:
        nvml.nvmlInit()
        if visible.startswith("GPU-"):
            return Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(visible)), None
        index = int(visible) if visible.isdigit() else 0
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)), None
    except nvml.NVMLError as error:
        return None, f"NVML: {error}"
