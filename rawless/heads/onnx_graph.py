"""A trained head as an ONNX graph, of few standard operators: the same head gives the same bytes.

Made node by node and not traced, since a traced graph carries the paths of the machine that traced it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rawless.heads.modules import Classifier, Head, Pair, QueryTransform, Regression, Scale

OPSET = 20
IR_VERSION = 10
BATCH = "batch"


class _Graph:
    """Nodes and constants as they come; `last` is what the next node reads."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Tensor | Sequence[int]) -> str:
        """A named constant; whole numbers are int64."""
        array = value.detach().numpy() if isinstance(value, Tensor) else np.array(value, np.int64)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node over the last output, or over the inputs that are given."""
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs) or [self.last], [name], **attributes))
        self.last = name
        return name

    def scale(self, scale: Scale) -> None:
        """To mean 0 and deviation 1."""
        self.add("Sub", self.last, self.constant(scale.mean))
        self.add("Div", self.last, self.constant(scale.deviation))

    def layers(self, layers: nn.Sequential) -> None:
        """Linear layers and what is between them; dropout is for training only."""
        for layer in layers:
            if isinstance(layer, nn.Linear):
                weights = (self.constant(layer.weight), self.constant(layer.bias))
                self.add("Gemm", self.last, *weights, transB=1)
            elif isinstance(layer, nn.ReLU):
                self.add("Relu")


def to_onnx(head: Head, dimension: int) -> onnx.ModelProto:
    """The graph of a head. Inputs are float32 of shape (batch, dimension), a tenant's place int64 of shape (batch,)."""
    graph = _Graph(head.inputs[0])
    if isinstance(head, Classifier):
        _classify(graph, head)
        shape: list[str | int] = [BATCH, head.classes]
    elif isinstance(head, Regression):
        _regress(graph, head)
        shape = [BATCH]
    elif isinstance(head, Pair):
        _score(graph, head)
        shape = [BATCH]
    else:
        _transform(graph, head)
        shape = [BATCH, dimension]
    outputs = [helper.make_tensor_value_info(head.output, TensorProto.FLOAT, shape)]
    body = helper.make_graph(graph.nodes, "head", _inputs(head, dimension), outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="rawless")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def _inputs(head: Head, dimension: int) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH])
        if name == "tenant"
        else helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, dimension])
        for name in head.inputs
    ]


def _classify(graph: _Graph, head: Classifier) -> None:
    graph.scale(head.scale)
    graph.layers(head.layers)
    graph.add("Softmax", output=head.output, axis=1)


def _regress(graph: _Graph, head: Regression) -> None:
    graph.scale(head.scale)
    graph.layers(head.layers)
    graph.add("Mul", graph.last, graph.constant(head.unit.deviation))
    graph.add("Add", graph.last, graph.constant(head.unit.mean))
    graph.add("Squeeze", graph.last, graph.constant([1]), output=head.output)


def _score(graph: _Graph, head: Pair) -> None:
    graph.add("Concat", *head.inputs, axis=1)
    graph.scale(head.scale)
    graph.layers(head.layers)
    graph.add("Sigmoid")
    graph.add("Squeeze", graph.last, graph.constant([1]), output=head.output)


def _transform(graph: _Graph, head: QueryTransform) -> None:
    mapped = graph.add("MatMul", "query", graph.constant(head.shared.T))
    if head.own is not None:
        own = graph.add("Gather", graph.constant(head.own), "tenant", axis=0)
        column = graph.add("Unsqueeze", "query", graph.constant([2]))
        graph.add("MatMul", own, column)
        graph.add("Add", mapped, graph.add("Squeeze", graph.last, graph.constant([2])))
    whole = graph.last
    length = graph.add("ReduceL2", whole, graph.constant([1]), keepdims=1)
    floor = graph.constant(head.shared.new_tensor(1e-12))  # as torch's normalize has it
    graph.add("Div", whole, graph.add("Max", length, floor), output=head.output)
