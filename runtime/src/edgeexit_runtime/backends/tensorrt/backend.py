"""TensorRT as a backend: runs engines that were built from a bundle, on a CUDA device."""

from __future__ import annotations

from edgeexit_runtime.backends.base import Backend, LoadOptions, Runner, WhyNot
from edgeexit_runtime.backends.tensorrt.options import TensorRTOptions
from edgeexit_runtime.bundle.folder import Bundle

RUNNER = "edgeexit_runtime.backends.tensorrt.runner:TensorRTRunner"


class TensorRTBackend(Backend):
    """Runs engines only: a bundle must have one for each of its graphs.

    Args:
        how: options for running them.
    """

    name = "tensorrt"
    modules = ("tensorrt", "tensorrt_rtx", "pycuda")  # one of the first two
    install = (
        "pip install 'edgeexit-runtime[tensorrt]', [tensorrt-rtx] for TensorRT-RTX, or [jetson] "
        "where JetPack brings TensorRT"
    )
    devices = ("cuda",)
    needs_engines = True

    def __init__(self, how: TensorRTOptions | None = None) -> None:
        self._how = how or TensorRTOptions()

    def why_not(self, bundle: Bundle) -> WhyNot | None:
        """As the base class. Engines that do not fit are no reason: loading reports them."""
        built = {entry.graph: entry.library for entry in bundle.manifest.engines}
        names = [name for name, _ in bundle.manifest.graphs()]
        without = [name for name in names if name not in built]
        if without:
            return WhyNot(f"no engine was built from {without[0]}: edgeexit build builds them")
        from edgeexit_runtime.backends.cuda.device import find_gpu

        if find_gpu() is None:
            return WhyNot("no CUDA device is here: nvidia-smi, or tegrastats, should show one")
        libraries = {built[name].replace("-", "_") for name in names}
        missing = self.not_installed(sorted({"pycuda", *libraries}))
        return WhyNot(missing, is_surprising=True) if missing else None

    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        runner: Runner = self.import_class(RUNNER)(bundle, self._how)
        return runner
