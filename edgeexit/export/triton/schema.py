"""Triton's schema of ``config.pbtxt``: creates and writes its messages.

``model_config.binpb`` is the compiled descriptor of the published ``model_config.proto``, of
https://github.com/triton-inference-server/common (``model_config.LICENSE``); it equals
``tritonclient.grpc.model_config_pb2.DESCRIPTOR.serialized_pb`` of tritonclient 2.73. Compiled
Python would need a certain version of protobuf, and tritonclient needs one too old for onnx.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory, text_format

DESCRIPTOR = "model_config.binpb"


@cache
def _model_config() -> Any:
    """Return the class of ``inference.ModelConfig``, in a pool of its own."""
    pool = descriptor_pool.DescriptorPool()  # tritonclient's may be in the default one
    pool.AddSerializedFile((resources.files(__package__) / DESCRIPTOR).read_bytes())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def new_config(**fields: Any) -> Any:
    """Return an ``inference.ModelConfig`` with these fields; dicts become nested messages.

    Raises:
        json_format.ParseError: the schema has no such field, or the value is invalid.
    """
    return json_format.ParseDict(fields, _model_config()())


def config_text(config: Any) -> str:
    """Return the text of a ``config.pbtxt``."""
    return str(text_format.MessageToString(config, use_short_repeated_primitives=True))
