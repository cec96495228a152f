"""What an imported model may contain: its maximum size and its operators.

The operators are pure functions whose output size is bounded by inputs and weights: none draws random numbers,
branches, loops, reads files, handles text, or makes tensors of a computed size; `expansion_check` ensures that for
Expand.
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
_LAYERS = "BatchNormalization Gemm LayerNormalization LpNormalization MatMul RMSNormalization"
_ACTIVATIONS = (
    "Celu Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid Softmax Softplus Softsign "
    "Swish Tanh ThresholdedRelu"
)
_REDUCTION = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare TopK"
)
_SHAPE = "Cast Concat Constant Expand Flatten Gather Identity Reshape Shape Slice Split Squeeze Transpose Unsqueeze"
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
