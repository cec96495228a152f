"""Reading an untrusted ONNX file as a model of allowed operators and plain constants."""

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto

from rawless.errors import UserError
from rawless.heads.importing.allowed_operators import FIXES, MAX_BYTES, MAX_NAME_LENGTH, MAX_NODES, OPERATORS, STANDARD
from rawless.heads.importing.tree_check import TREE_OPERATORS, has_broken_trees
from rawless.heads.spec import CLASS, fits

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}
"""The allowed types of constants."""
_EQUATION = re.compile(rb"[A-Za-z., >-]{1,64}")
"""Of Einsum."""
_PLAIN_ATTRIBUTES = {
    AttributeProto.FLOAT,
    AttributeProto.INT,
    AttributeProto.STRING,
    AttributeProto.TENSOR,
    AttributeProto.FLOATS,
    AttributeProto.INTS,
    AttributeProto.STRINGS,
}


def read_model(path: Path, named: Path | None = None) -> onnx.ModelProto:
    """Read a model of allowed size with printable names; everything else is unchecked.

    Raises UserError, in which `named` stands for the path if it is given.
    """
    return _parse_plain(_read(path, named or path), named or path)


def check_graph(graph: bytes, where: str) -> None:
    """Check all that a graph may have. Raises UserError, in which `where` says whose graph it is."""
    check(_parse_plain(graph, where), where)


def _parse_plain(content: bytes, path: Path | str) -> onnx.ModelProto:
    model = _parse(content, path)
    graph = model.graph
    if not all(_is_plain(name) for name in _names(model)):
        raise UserError(
            f"A name in the model {path} is not printable or is longer than {MAX_NAME_LENGTH} characters: export it "
            "with plain names."
        )
    for what, count in (("operators", len(graph.node)), ("constants", len(graph.initializer))):
        if count > MAX_NODES:
            raise UserError(f"The model {path} has {count:,} {what}, but a head may have {MAX_NODES:,}.")
    return model


def _read(path: Path, named: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise UserError(f"The model {named} has {size:,} bytes, but a head may have {MAX_BYTES:,}.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        raise UserError(f"The model {named} does not exist: check the path.") from None
    except OSError as error:
        raise UserError(f"The model {named} cannot be read ({type(error).__name__}): check the path.") from None


def _parse(content: bytes, path: Path | str) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except (DecodeError, ValueError) as error:
        raise UserError(
            f"{path} is not an ONNX model, or is truncated ({type(error).__name__}): export it again."
        ) from None
    if not model.graph.node:
        raise UserError(f"{path} contains no ONNX graph with an operator: export it again.")
    if model.functions or model.graph.sparse_initializer:
        raise UserError(f"The model {path} has functions or sparse constants of its own: export a plain graph.")
    model.DiscardUnknownFields()
    return model


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    graph = model.graph
    yield from (opset.domain for opset in model.opset_import)
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
    yield from (tensor.name for tensor in graph.initializer)
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (dimension.dim_param for dimension in info.type.tensor_type.shape.dim)


def _is_plain(name: str | bytes) -> bool:
    """Return whether a name is printable; protobuf returns one that is not UTF-8 as bytes."""
    return isinstance(name, str) and name.isprintable() and len(name) <= MAX_NAME_LENGTH


def check(model: onnx.ModelProto, path: Path | str) -> None:
    """Check operators, attributes and constants. Raises UserError that names what a head may not have, and the fix."""
    for node in model.graph.node:
        _check_operator(node, path)
        for attribute in node.attribute:
            _check_attribute(attribute, f"The operator {_operator_name(node)} of {path}", path)
    for tensor in model.graph.initializer:
        _check_tensor(tensor, path)


def _operator_name(node: onnx.NodeProto) -> str:
    return f"{node.domain}:{node.op_type}" if node.domain else node.op_type


def _check_operator(node: onnx.NodeProto, path: Path | str) -> None:
    if node.op_type not in OPERATORS.get(node.domain or STANDARD, ()):
        fix = FIXES.get(node.op_type, "export it without; docs/heads-import.md lists the allowed ones")
        raise UserError(
            f"The model {path} uses the operator {_operator_name(node)}, which is not allowed in a head: {fix}."
        )
    if node.op_type == "Dropout" and any(node.input[2:]):
        raise UserError(
            f"The model {path} may use Dropout as in training: export it in evaluation mode (torch: module.eval())."
        )
    if node.op_type == "Einsum" and len(node.input) > 2:
        raise UserError(f"The model {path} has an Einsum of {len(node.input)} tensors: multiply two at a time.")
    if node.op_type in TREE_OPERATORS and has_broken_trees(node):
        raise UserError(f"The trees of {path} are invalid, since a branch has a cycle or no target: export it again.")


def _check_attribute(attribute: onnx.AttributeProto, where: str, path: Path | str) -> None:
    if attribute.type not in _PLAIN_ATTRIBUTES or attribute.ref_attr_name:
        raise UserError(f"{where} has an attribute that is not a number, string or tensor: export a plain graph.")
    is_equation = attribute.name == "equation" and _EQUATION.fullmatch(attribute.s)
    for text in (attribute.s, *attribute.strings):
        if text and not is_equation and not fits(text.decode("utf-8", "replace"), CLASS):
            raise UserError(
                f"{where} has a string that is not 1 to 64 of the characters A-Za-z0-9_.-: train the model with class "
                "names of this form."
            )
    if attribute.type == AttributeProto.TENSOR:
        _check_tensor(attribute.t, path)


def _check_tensor(tensor: onnx.TensorProto, path: Path | str) -> None:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise UserError(
            f"The model {path} keeps its weights in another file: export it as one file (torch: external_data=False)."
        )
    if tensor.data_type not in _TYPES:
        raise UserError(
            f"The constant {tensor.name or 'without a name'} of {path} is {type_name(tensor.data_type)}, but constants "
            f"of a head are {', '.join(_TYPES.values())}: export it in float32 (torch: module.float())."
        )


def type_name(number: int) -> str:
    """Return the name that numpy uses for one of ONNX's element types."""
    onnx_names = TensorProto.DataType.keys()
    return _TYPES.get(number) or (onnx_names[number].lower() if 0 <= number < len(onnx_names) else f"of type {number}")
