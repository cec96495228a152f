"""Folding batch normalisation into the convolution before it, which saves a pass over the activations."""

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> None:
    """Fold, in place, every batch normalisation that alone follows a convolution in a traced part of the network.

    The network is in evaluation mode, its weights are fp32. A vector moves by the rounding of fp32 only.
    """
    for part in network.modules():
        if isinstance(part, fx.GraphModule):
            _fold(part)


def _fold(part: fx.GraphModule) -> None:
    calls = Counter(node.target for node in part.graph.nodes)
    for node in list(part.graph.nodes):
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or node.op != "call_module":
            continue
        before, normalisation = part.get_submodule(str(source.target)), part.get_submodule(str(node.target))
        is_alone = len(source.users) == calls[source.target] == calls[node.target] == 1
        if is_alone and isinstance(before, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            part.set_submodule(str(source.target), fuse_conv_bn_eval(before, normalisation))
            node.replace_all_uses_with(source)
            part.graph.erase_node(node)
    part.delete_all_unused_submodules()
    part.recompile()
