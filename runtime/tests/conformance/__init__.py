"""What every backend does alike: classes of tests to subclass, as ``test_conformance.py`` does.

They ask for two fixtures besides those of ``conftest.py``: ``backend``, its name, and ``prepare``:
``prepare(folder)`` gives a bundle what the backend needs besides the ONNX files.
"""
