"""Tiny bundles for tests, and a conformance suite for authors of backends.

    from edgeexit_runtime.testing import CHAIN, images_leaving_at, write_bundle

    folder = write_bundle(tmp_path)  # of CHAIN, or of another network
    with ee.load(folder, backend="mine") as session:
        assert session.infer(images_leaving_at([2, 0])).exits.tolist() == [2, 0]

:mod:`edgeexit_runtime.testing.conformance` is the suite. Both need onnx, and the suite pytest,
which nothing else here imports: ``pip install 'edgeexit-runtime[testing]'``.
"""

try:
    import onnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        "edgeexit_runtime.testing writes ONNX files: pip install 'edgeexit-runtime[testing]'"
    ) from error

from edgeexit_runtime.testing.bundles import edit_manifest, replace_graph, write_bundle
from edgeexit_runtime.testing.models import make_model
from edgeexit_runtime.testing.networks import (
    CHAIN,
    NETWORKS,
    Network,
    Tensor,
    images_leaving_at,
    random_images,
)

__all__ = [
    "CHAIN",
    "NETWORKS",
    "Network",
    "Tensor",
    "edit_manifest",
    "images_leaving_at",
    "make_model",
    "random_images",
    "replace_graph",
    "write_bundle",
]
