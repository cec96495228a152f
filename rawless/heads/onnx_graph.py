"""Exporting a module as an ONNX graph of few standard operators: the same module gives the same bytes.

The graph is built node by node and not traced, since a traced graph contains paths of the machine that traced it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from rawless.heads.modules import Exportable, FeatureColumns, Scale
from rawless.heads.signature import BATCH, FEATURES, TENANT

OPSET = 20
IR_VERSION = 10


class GraphBuilder:
    """Nodes and constants in the order in which they are added; `last` is the output that the next node reads."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Tensor | Sequence[int]) -> str:
        """Add a constant and return its name; integers become int64."""
        array = value.detach().numpy() if isinstance(value, Tensor) else np.array(value, np.int64)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node that reads `inputs`, by default the last output, and return the name of its output."""
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs) or [self.last], [name], **attributes))
        self.last = name
        return name

    def scale(self, scale: Scale) -> None:
        """Standardise the last output."""
        self.add("Sub", self.last, self.constant(scale.mean))
        self.add("Div", self.last, self.constant(scale.deviation))

    def feature_columns(self, columns: FeatureColumns) -> None:
        """Turn the input `features` into columns."""
        numbers = self.add("Gather", FEATURES, self.constant(columns.numbers), axis=1)
        present = self.add("Where", self.add("IsNaN", numbers), self.constant(columns.scale.mean), numbers)
        self.last = present
        self.scale(columns.scale)
        scaled = self.last
        of_classes = self.add("Gather", FEATURES, self.constant(columns.classes), axis=1)
        self.add("Equal", of_classes, self.constant(columns.indices))
        classes = self.add("Cast", to=TensorProto.FLOAT)
        self.add("IsNaN", FEATURES)
        self.add("Concat", scaled, classes, self.add("Cast", to=TensorProto.FLOAT), axis=1)

    def layers(self, layers: nn.Sequential) -> None:
        """Apply linear layers and the ReLUs between them; dropout is left out, since it is for training only."""
        for layer in layers:
            if isinstance(layer, nn.Linear):
                weights = (self.constant(layer.weight), self.constant(layer.bias))
                self.add("Gemm", self.last, *weights, transB=1)
            elif isinstance(layer, nn.ReLU):
                self.add("Relu")

    def squeeze(self, axis: int, output: str | None = None) -> str:
        """Drop an axis of length 1 of the last output."""
        return self.add("Squeeze", self.last, self.constant([axis]), output=output)


def to_onnx(module: Exportable, dimension: int) -> onnx.ModelProto:
    """Return the graph of a module over vectors of this dimension.

    Vectors are float32 of shape (batch, dimension), features float32 of shape (batch, features), a tenant's index is
    int64 of shape (batch,).
    """
    names = module.interface.value
    graph = GraphBuilder(names[0])
    module.add_nodes(graph)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH])
        if name == TENANT
        else helper.make_tensor_value_info(
            name, TensorProto.FLOAT, [BATCH, module.feature_count if name == FEATURES else dimension]
        )
        for name in names
    ]
    outputs = [helper.make_tensor_value_info(module.output, TensorProto.FLOAT, [BATCH, *module.output_shape])]
    body = helper.make_graph(graph.nodes, "head", inputs, outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="rawless")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
