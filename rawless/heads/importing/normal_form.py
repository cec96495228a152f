"""Rewriting an imported model as the graph of a head: standard names, one output, and no notes of the exporter.

One input becomes `embedding`; two become `left` and `right`, matched by name if they have these names, else by order.
The output becomes `probabilities` when it has more than one column, else `value`, of shape (batch,). A tensor inside
the graph that has one of these names gets the suffix `_inside`; all other names stay.
"""

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rawless.heads.importing.model_signature import INTERFACES, ModelSignature
from rawless.heads.signature import BATCH, PROBABILITIES, VALUE

Part = TypeVar("Part", onnx.NodeProto, onnx.TensorProto, onnx.AttributeProto)
_NOTES = {"doc_string", "metadata_props", "device_configurations"}
_SHAPE, _ORDER = "value_shape", "class_order"
_RESERVED = {
    PROBABILITIES,
    VALUE,
    _SHAPE,
    _ORDER,
    *(name for interface in INTERFACES.values() for name in interface.value),
}
_DEFAULT_OPSET = 13
"""Of the standard operators, for a model that declares none."""
NEWEST_OPSET, NEWEST_IR = 26, 13
"""The newest versions of operators and of the file format that ONNX Runtime loads; ONNX itself is ahead of it."""


def normal_form(model: onnx.ModelProto, signature: ModelSignature, dimension: int) -> onnx.ModelProto:
    """Return a new model with only what the output needs. `finish` adds the output's final name and shape."""
    names_of_inputs = INTERFACES[len(signature.inputs)].value
    inputs = dict(zip((tensor.name for tensor in signature.inputs), names_of_inputs, strict=True))
    output = signature.output
    nodes, constants = _needed(model.graph, output.name)
    names = _replacements(nodes, constants) | inputs
    for node in nodes:
        _rename(node.input, names)
        _rename(node.output, names)
    for constant in constants:
        constant.name = names.get(constant.name, constant.name)
    shape = [BATCH, "columns"][: len(output.shape or ())]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, dimension]) for name in inputs.values()],
        [helper.make_tensor_value_info(names.get(output.name, output.name), TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=_opsets(model), ir_version=min(model.ir_version, NEWEST_IR))


def finish(model: onnx.ModelProto, columns: int) -> None:
    """Name the output by the number of columns that it was observed to have, in place; one column is flattened."""
    graph = model.graph
    (output,) = (info.name for info in graph.output)
    name = PROBABILITIES if columns > 1 else VALUE
    shape: list[str | int] = [BATCH, columns] if columns > 1 else [BATCH]
    if columns > 1:
        graph.node.append(helper.make_node("Identity", [output], [name]))
    else:
        graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), _SHAPE))
        graph.node.append(helper.make_node("Reshape", [output, _SHAPE], [name]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def in_order(graph: bytes, columns: Sequence[int]) -> bytes:
    """Return the graph of a head with the columns of its probabilities in this order."""
    model = onnx.load_from_string(graph)
    last = model.graph.node[-1]  # the Identity of `finish`
    last.CopyFrom(helper.make_node("Gather", [last.input[0], _ORDER], [PROBABILITIES], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array(columns, np.int64), _ORDER))
    ordered: bytes = model.SerializeToString(deterministic=True)
    return ordered


def _needed(graph: onnx.GraphProto, output: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes and constants that an output is computed from."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, node.input))  # an omitted input has an empty name
            nodes.append(_without_notes(node))
            for attribute in node.attribute:
                _without_notes(attribute)
    return nodes[::-1], [_without_notes(tensor) for tensor in graph.initializer if tensor.name in needed]


def _without_notes(part: Part) -> Part:
    """Clear the fields that are for people, such as the file paths that torch's exporter writes."""
    for field in _NOTES.intersection(part.DESCRIPTOR.fields_by_name):
        part.ClearField(field)
    return part


def _replacements(nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]) -> dict[str, str]:
    """Return new names for tensors that have a reserved name."""
    used = {name for node in nodes for name in (*node.input, *node.output)} | {tensor.name for tensor in constants}
    names = {}
    for name in sorted(used & _RESERVED):
        replacement = f"{name}_inside"
        while replacement in used:
            replacement += "_inside"
        names[name] = replacement
    return names


def _rename(names: MutableSequence[str], replacements: dict[str, str]) -> None:
    for position, name in enumerate(names):
        names[position] = replacements.get(name, name)


def _opsets(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """Return the operator set versions of a model, one per domain: skl2onnx may declare one twice."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    newest = versions.get("", 0)
    operators = {node.op_type for node in model.graph.node if not node.domain}
    if NEWEST_OPSET < newest <= onnx.defs.onnx_opset_version() and all(
        _is_unchanged(operator, newest) for operator in operators
    ):
        versions[""] = NEWEST_OPSET
    return [helper.make_opsetid(domain, version) for domain, version in ({"": _DEFAULT_OPSET} | versions).items()]


def _is_unchanged(operator: str, version: int) -> bool:
    """Return whether an operator of a newer version is that of the newest supported one, apart from more types."""
    try:
        newer, older = (onnx.defs.get_schema(operator, bound, "") for bound in (version, NEWEST_OPSET))
    except onnx.defs.SchemaError:
        return False
    return _form(newer) == _form(older)


def _form(schema: onnx.defs.OpSchema) -> tuple[object, ...]:
    attributes = {
        name: (attribute.required, attribute.default_value.SerializeToString())
        for name, attribute in schema.attributes.items()
    }
    return attributes, [item.name for item in schema.inputs], [item.name for item in schema.outputs]
