"""Trees in a model made elsewhere: a branch that leads back up never ends, and ONNX Runtime follows it."""

from collections import Counter

import onnx

TREES = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
_PARTS = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids")


def is_endless(node: onnx.NodeProto) -> bool:
    """Whether what an operator calls trees are none: a node is reached twice, or a tree's first one at all."""
    attributes = {each.name: each for each in node.attribute}
    if not {"nodes_modes", *_PARTS} <= attributes.keys():
        return True
    modes = list(attributes["nodes_modes"].strings)
    columns = [list(attributes[name].ints) for name in _PARTS]
    if {len(column) for column in columns} != {len(modes)}:
        return True
    reached: Counter[tuple[int, int]] = Counter()
    first: dict[int, int] = {}
    for tree, number, *ways, mode in zip(*columns, modes, strict=True):
        first.setdefault(tree, number)
        if mode != b"LEAF":
            reached.update((tree, way) for way in ways)
    return any(times > 1 for times in reached.values()) or any(root in reached for root in first.items())
