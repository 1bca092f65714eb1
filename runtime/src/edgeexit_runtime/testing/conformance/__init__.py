"""Conformance tests for backends, as classes: labels, exits, batches, deadlines, failures.

    # test_mine.py
    import pytest
    from edgeexit_runtime.backends import BACKENDS
    from edgeexit_runtime.testing.conformance import Conformance
    from mine import MyBackend

    BACKENDS["mine"] = MyBackend()

    class TestMine(Conformance):
        @pytest.fixture
        def backend(self):
            return "mine"

A backend that needs more than ONNX files overrides the fixture ``prepare``, whose
``prepare(folder)`` adds it to a bundle. A test of something that a backend does not support is
disabled by name, with a comment: ``test_bare_graphs_are_run_as_the_bundles_own = None``.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("support", "answers", "life", "failures", "files"))
)

from edgeexit_runtime.testing.conformance.answers import Answers  # noqa: E402
from edgeexit_runtime.testing.conformance.failures import Failures  # noqa: E402
from edgeexit_runtime.testing.conformance.files import ForeignFiles  # noqa: E402
from edgeexit_runtime.testing.conformance.life import Life  # noqa: E402

__all__ = ["Answers", "Conformance", "Failures", "ForeignFiles", "Life"]


class Conformance(Answers, Life, Failures, ForeignFiles):
    """The whole suite."""
