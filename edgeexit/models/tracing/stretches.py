"""Inline the regions under autocast or with gradients that torch.export wraps in subgraphs."""

from __future__ import annotations

from torch import fx, nn
from torch._higher_order_ops import wrap

from edgeexit.errors import SpecError


def inline_stretches(root: fx.GraphModule) -> None:
    """Inline regions that disable autocast or enable gradients into the surrounding graph.

    Networks are traced outside autocast, where disabling it has no effect, and without gradients,
    which training enables everywhere anyway.

    Raises:
        SpecError: a region enables autocast; its results depend on the device.
    """
    for node in list(root.graph.nodes):
        if node.target is wrap.wrap_with_autocast:
            device, dtype, enabled, _, body, *inputs = node.args
            if enabled:
                raise SpecError(
                    f"the model computes a part under torch.autocast({device!r}, {dtype}), so it "
                    "cannot be cut: move the autocast out of forward and around the call"
                )
        elif node.target is wrap.wrap_with_set_grad_enabled:
            _, body, *inputs = node.args
        else:
            continue
        _inline(root.graph, node, root.get_submodule(str(body.target)), inputs)
        if not body.users:
            root.graph.erase_node(body)
    root.graph.lint()


def _inline(graph: fx.Graph, node: fx.Node, body: nn.Module, inputs: list[fx.Node]) -> None:
    assert isinstance(body, fx.GraphModule)
    inside = body.graph.find_nodes(op="placeholder")
    with graph.inserting_before(node):
        results = graph.graph_copy(body.graph, dict(zip(inside, inputs, strict=True)))
    for user in list(node.users):  # each selects a result by number
        assert isinstance(results, (tuple, list))
        user.replace_all_uses_with(results[user.args[1]])  # type: ignore[index]
        graph.erase_node(user)
    graph.erase_node(node)
