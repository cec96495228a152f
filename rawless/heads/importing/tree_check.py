"""Checking the trees of an imported model: a branch with a cycle would make ONNX Runtime loop forever."""

from collections import Counter

import onnx

TREE_OPERATORS = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
_COLUMNS = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids")


def has_broken_trees(node: onnx.NodeProto) -> bool:
    """Return whether the trees of an operator are invalid: a node has two parents, or a root has one."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if not {"nodes_modes", *_COLUMNS} <= attributes.keys():
        return True
    modes = list(attributes["nodes_modes"].strings)
    columns = [list(attributes[name].ints) for name in _COLUMNS]
    if {len(column) for column in columns} != {len(modes)}:
        return True
    parents: Counter[tuple[int, int]] = Counter()
    roots: dict[int, int] = {}
    for tree, number, *children, mode in zip(*columns, modes, strict=True):
        roots.setdefault(tree, number)
        if mode != b"LEAF":
            parents.update((tree, child) for child in children)
    return any(count > 1 for count in parents.values()) or any(root in parents for root in roots.items())
