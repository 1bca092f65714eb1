"""OpenVINO as a backend: runs the ONNX files of any bundle, on a CPU, or Intel's GPU or NPU."""

from __future__ import annotations

from edgeexit_runtime.backends.base import Backend, LoadOptions, Runner
from edgeexit_runtime.bundle.folder import Bundle

RUNNER = "edgeexit_runtime.backends.openvino.runner:OpenVinoRunner"
CPU = "CPU"


class OpenVinoBackend(Backend):
    """Runs on a single device; OpenVINO's multi-device modes are not offered."""

    name = "openvino"
    modules = ("openvino",)
    install = "pip install 'edgeexit-runtime[openvino]'"
    devices = (CPU, "GPU", "NPU")

    def has_device(self, device: str) -> bool:
        """As the base class; a number may follow, as in ``GPU.1``."""
        return super().has_device(device.partition(".")[0])

    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        device = (options.device or CPU).upper()
        runner: Runner = self.import_class(RUNNER)(bundle, device, options.threads)
        return runner
