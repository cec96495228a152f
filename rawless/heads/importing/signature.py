"""The signature of a model made elsewhere: which of its tensors are vectors, and which is the answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto

from rawless.errors import UserError
from rawless.heads.importing.onnx_reader import type_name
from rawless.heads.signature import BATCH

INPUTS = {1: ("embedding",), 2: ("left", "right")}
"""What they are called, by their number."""
_LABELS = {TensorProto.INT64, TensorProto.INT32, TensorProto.STRING}


class Found(NamedTuple):
    """A tensor as a model declares it; None in its shape is any number."""

    name: str
    shape: tuple[int | str | None, ...] | None
    type: str


class Signature(NamedTuple):
    """The tensors of a model that count, by the names of its maker."""

    inputs: tuple[Found, ...]
    answer: Found
    labels: tuple[Found, ...]
    """Outputs that are left out."""
    constants: tuple[Found, ...]


def signature(model: onnx.ModelProto, dimension: int, path: Path) -> Signature:
    """Of a model over vectors of this dimension. Raises UserError naming the tensor that does not fit, and the mend."""
    graph = model.graph
    constants = tuple(Found(each.name, tuple(each.dims), type_name(each.data_type)) for each in graph.initializer)
    given = {each.name for each in constants}
    inputs = tuple(_found(each) for each in graph.input if each.name not in given)
    if len(inputs) not in INPUTS:
        raise UserError(
            f"The model {path} has {_listed('input', inputs)}, but a head takes one vector, or two of a pair."
        )
    for each in inputs:
        _check_input(each, dimension, path)
    if {each.name for each in inputs} == set(INPUTS[2]):
        inputs = tuple(sorted(inputs))
    answer, labels = _answer(graph, path)
    return Signature(inputs, answer, labels, constants)


def _found(told: onnx.ValueInfoProto) -> Found:
    kind = told.type.WhichOneof("value")
    if kind != "tensor_type":
        return Found(told.name, None, (kind or "untyped").removesuffix("_type"))
    tensor = told.type.tensor_type
    shape = tuple(each.dim_param or each.dim_value or None for each in tensor.shape.dim)
    return Found(told.name, shape if tensor.HasField("shape") else None, type_name(tensor.elem_type))


def _check_input(found: Found, dimension: int, path: Path) -> None:
    where = f"The input {found.name} of {path}"
    if found.type != "float32":
        raise UserError(f"{where} is {found.type}, but vectors are float32: export the model with float32 inputs.")
    if found.shape is None or len(found.shape) != 2:
        raise UserError(f"{where} has the shape {said(found.shape)}, but vectors come as [{BATCH}, {dimension}].")
    batch, width = found.shape
    if isinstance(batch, int):
        raise UserError(f"{where} takes {batch} rows at a time and no other number: export it with a free dimension 0.")
    if width != dimension:
        raise UserError(
            f"{where} has the shape {said(found.shape)}, but vectors of this encoder have {dimension} values: "
            "train a model on them, or name its encoder."
        )


def _answer(graph: onnx.GraphProto, path: Path) -> tuple[Found, tuple[Found, ...]]:
    labels = tuple(_found(each) for each in graph.output if each.type.tensor_type.elem_type in _LABELS)
    others = [each for each in map(_found, graph.output) if each not in labels]
    answers = [each for each in others if each.type == "float32"]
    if wrong := [each for each in others if each.type != "float32"]:
        mend = "convert it with options={'zipmap': False}" if wrong[0].type == "sequence" else "export it as float32"
        raise UserError(f"The output {wrong[0].name} of {path} is {wrong[0].type}, but an answer is float32: {mend}.")
    if len(answers) != 1:
        raise UserError(
            f"The model {path} has {_listed('float32 output', answers)}, but a head has one answer: export that alone."
        )
    (answer,) = answers
    if answer.shape is None or len(answer.shape) not in (1, 2):
        raise UserError(
            f"The output {answer.name} of {path} has the shape {said(answer.shape)}, but an answer has [{BATCH}] or "
            f"[{BATCH}, columns]."
        )
    return answer, labels


def said(shape: Sequence[int | str | None] | None) -> str:
    """A shape in brackets, with ? for any number."""
    return "of no known rank" if shape is None else f"[{', '.join(str(each or '?') for each in shape)}]"


def _listed(what: str, found: Sequence[Found]) -> str:
    names = f" ({', '.join(each.name for each in found[:5])})" if found else ""
    return f"{len(found) or 'no'} {what}{'' if len(found) == 1 else 's'}{names}"
