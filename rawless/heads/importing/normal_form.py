"""A model made elsewhere in the form of a head: stated names, the answer alone, and no notes of whoever exported it.

The one input becomes `embedding`; two become `left` and `right`, as they say, else in their order. The answer becomes
`probabilities` when it has more than one column, else `value`, of shape (batch,). Where something inside already has
one of these names, it gets `_inside` at its end; all other names stay.
"""

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rawless.heads.importing.signature import INPUTS, Signature
from rawless.heads.signature import BATCH

PROBABILITIES, VALUE = "probabilities", "value"
Part = TypeVar("Part", onnx.NodeProto, onnx.TensorProto, onnx.AttributeProto)
_NOTES = {"doc_string", "metadata_props", "device_configurations"}
_SHAPE = "value_shape"
_RESERVED = {*INPUTS[1], *INPUTS[2], PROBABILITIES, VALUE, _SHAPE}
_OPSET = 13
"""Of the standard operators, where a model declares none."""


def normal_form(model: onnx.ModelProto, found: Signature, dimension: int) -> onnx.ModelProto:
    """A new model of what the answer needs and nothing more. Only the answer's name and shape are left to `finish`."""
    inputs = dict(zip((each.name for each in found.inputs), INPUTS[len(found.inputs)], strict=True))
    nodes, constants = _needed(model.graph, found.answer.name)
    names = _beside(nodes, constants) | inputs
    for node in nodes:
        _rename(node.input, names)
        _rename(node.output, names)
    for each in constants:
        each.name = names.get(each.name, each.name)
    shape = [BATCH, "columns"][: len(found.answer.shape or ())]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, dimension]) for name in inputs.values()],
        [helper.make_tensor_value_info(names.get(found.answer.name, found.answer.name), TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=_opsets(model), ir_version=model.ir_version)


def finish(model: onnx.ModelProto, columns: int) -> None:
    """Name the answer by what it was seen to have, in place; one column becomes a plain row of numbers."""
    graph = model.graph
    (answer,) = (each.name for each in graph.output)
    name = PROBABILITIES if columns > 1 else VALUE
    shape: list[str | int] = [BATCH, columns] if columns > 1 else [BATCH]
    if columns > 1:
        graph.node.append(helper.make_node("Identity", [answer], [name]))
    else:
        graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), _SHAPE))
        graph.node.append(helper.make_node("Reshape", [answer, _SHAPE], [name]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _needed(graph: onnx.GraphProto, answer: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes and constants that the answer comes from."""
    needed, nodes = {answer}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, node.input))  # an input that is left out has no name
            nodes.append(_bare(node))
            for attribute in node.attribute:
                _bare(attribute)
    return nodes[::-1], [_bare(each) for each in graph.initializer if each.name in needed]


def _bare(part: Part) -> Part:
    """Without what is there for people, such as the paths that torch's exporter leaves."""
    for field in _NOTES.intersection(part.DESCRIPTOR.fields_by_name):
        part.ClearField(field)
    return part


def _beside(nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]) -> dict[str, str]:
    """New names for what has a name that the signature needs."""
    used = {name for node in nodes for name in (*node.input, *node.output)} | {each.name for each in constants}
    names = {}
    for name in sorted(used & _RESERVED):
        beside = f"{name}_inside"
        while beside in used:
            beside += "_inside"
        names[name] = beside
    return names


def _rename(names: MutableSequence[str], new: dict[str, str]) -> None:
    for place, name in enumerate(names):
        names[place] = new.get(name, name)


def _opsets(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """The versions of operators that a model declares, once each: skl2onnx may declare one twice."""
    versions = {each.domain: each.version for each in model.opset_import}
    return [helper.make_opsetid(domain, version) for domain, version in ({"": _OPSET} | versions).items()]
