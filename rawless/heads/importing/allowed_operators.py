"""What an imported model may contain: its maximum size and its operators.

The operators are pure functions whose output size is bounded by inputs and weights: none draws random numbers,
branches, loops, reads files, handles text, or makes tensors of a computed size; `expansion_check` ensures the last for
the operators that could.
"""

MAX_BYTES = 50_000_000
"""The maximum size of the model file, in bytes."""
MAX_NODES = 5_000
"""The maximum number of operators, and of constants."""
MAX_CLASSES = 1_000
MAX_NAME_LENGTH = 256

_ARITHMETIC = (
    "Abs Add Ceil Clip Cos Div Erf Exp Floor Log Max Mean Min Mod Mul Neg Pow Reciprocal Round Sign Sin Sqrt Sub Sum"
)
_COMPARISON = "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor"
_LAYERS = (
    "Attention BatchNormalization Dropout Einsum Gemm GroupNormalization InstanceNormalization LayerNormalization "
    "LpNormalization MatMul RMSNormalization"
)
_ACTIVATIONS = (
    "Celu Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid Softmax Softplus Softsign "
    "Swish Tanh ThresholdedRelu"
)
_REDUCTION = (
    "ArgMax ArgMin CumSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
    "ReduceSum ReduceSumSquare TopK"
)
_SHAPE = (
    "Cast Concat Constant ConstantOfShape Expand Flatten Gather GatherElements GatherND Identity Pad Reshape Shape "
    "Size Slice Split Squeeze Transpose Unsqueeze"
)
_SCIKIT_LEARN = (
    "ArrayFeatureExtractor Binarizer Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor "
    "Scaler TreeEnsembleClassifier TreeEnsembleRegressor"
)
STANDARD, SCIKIT_LEARN = "ai.onnx", "ai.onnx.ml"
OPERATORS = {
    STANDARD: frozenset(
        " ".join((_ARITHMETIC, _COMPARISON, _LAYERS, _ACTIVATIONS, _REDUCTION, _SHAPE)).split(),
    ),
    SCIKIT_LEARN: frozenset(_SCIKIT_LEARN.split()),
}
"""The allowed operators by domain."""

_FIXES = {
    "write it without branches and loops, with where of torch or TensorFlow": "If Loop Scan",
    "join tensors with torch.cat instead of hstack, vstack or stack": "SequenceConstruct SequenceAt SequenceMap",
    "join copies with torch.cat instead of repeat": "Tile",
    "export it in evaluation mode (torch: module.eval())": (
        "Bernoulli RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
    ),
    "write it as layers of the whole vector, such as Linear": "AveragePool Conv ConvTranspose MaxPool",
    "export it in float32 without quantisation": (
        "DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearMatMul QuantizeLinear"
    ),
}
FIXES = {name: fix for fix, names in _FIXES.items() for name in names.split()}
"""How a model is exported without an operator that is not allowed."""
