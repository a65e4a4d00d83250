"""A Keras model of any kind on disk, from anywhere: checked before Keras sees it.

It is what `keras.Model.save` writes to a directory: `config.json`, `metadata.json` and
`model.weights.h5`, with a table of ours in `config.json`. Only classes of Keras and of this package
are built from it, and those that the running program has registered itself.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kh_zoo.errors import ModelError
from kh_zoo.extras import needs
from kh_zoo.files.plain_files import plain_path
from kh_zoo.memory import limit_memory
from kh_zoo.networks.model_folder import (
    CONFIG,
    KERAS_FILES,
    KERAS_WEIGHTS,
    KEY,
    read_json,
    read_table,
)

with needs("tensorflow", "A Keras model"):
    import h5py

CLASSES = (
    "AnnealedMean",
    "HyperColumn",
    "HyperColumnProjection",
    "HyperColumnSampler",
    "LightnessToGray",
)
"""The classes that `keras_hypercolumns` registers."""
_LAYERS = """
    Activation ActivityRegularization Add AlphaDropout Average AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D
    Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
    DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization Identity InputLayer LayerNormalization LeakyReLU
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum Multiply Normalization PReLU Permute
    RMSNormalization ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D
    Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
"""Those of Keras whose maps are all that they take beside their weights, and that read no files."""
_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
    Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""
_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid squareplus swish tanh tanh_shrink threshold
"""
_OPERATIONS = {
    "core": "Cast StopGradient",
    "image": "Resize RGBToGrayscale",
    "nn": """
        AveragePool Conv DepthwiseConv Elu Gelu HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid
        LogSoftmax MaxPool Mish Normalize Relu Relu6 Selu Sigmoid Silu Softmax Softplus Softsign
        Squareplus
    """,
    "numpy": """
        Abs Absolute Add Amax Amin Arctan Arctan2 Average BroadcastTo Ceil Clip Concatenate Cos Cosh
        Divide Equal Exp ExpandDims Expm1 Flip Floor FloorDivide GetItem Greater GreaterEqual Hypot
        Less LessEqual Log Log10 Log1p Log2 LogicalAnd LogicalNot LogicalOr Matmul Max Maximum Mean
        Min Minimum Mod Moveaxis Multiply Negative NotEqual Pad Power Prod Reciprocal Repeat Reshape
        Roll Round Sign Sin Sinh Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Tan Tanh Tile
        Transpose TrueDivide Var Where
    """,
}
_MODELS = ("Functional", "Sequential")
_KNOWN = {
    "keras.DTypePolicy",
    "keras.Sequential",
    "keras.src.models.functional.Functional",
    "keras.src.models.sequential.Sequential",
    *(f"keras.layers.{name}" for name in _LAYERS.split()),
    # What `keras.applications` has for itself.
    "keras.src.applications.convnext.LayerScale",
    "keras.src.applications.convnext.StochasticDepth",
    "keras.src.applications.inception_resnet_v2.CustomScaleLayer",
    *(f"keras.initializers.{name}" for name in _INITIALIZERS.split()),
    *(f"keras.regularizers.{name}" for name in ("L1", "L2", "L1L2")),
    *(f"keras.constraints.{name}" for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
    *(f"keras.src.ops.{kind}.{name}" for kind in _OPERATIONS for name in _OPERATIONS[kind].split()),
}
"""What Keras may look up. It does so by the module, a dot and the name, each with dots or none."""
_KNOWN_FUNCTIONS = {
    f"{module}.{name}"
    for module in ("builtins", "keras.activations", "keras.ops", "keras.ops.nn")
    for name in _ACTIVATIONS.split()
}
_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__")
_DTYPES = re.compile(r"bool|bfloat16|(float|u?int)(8|16|32|64)")
# They run code that is in the configuration or in a file.
_NEVER = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__lambda__")
# Each makes maps or lists that no description of a layer's output has.
_MOST = {"depth_multiplier": 64, "indices_or_sections": 1024}
_MOST_DEPTH = 100
_MOST_CALLS = 20_000
_MOST_OBJECTS = 100_000
_SECONDS, _SLOWEST = 30, 10_000_000
"""For reading a weights' file, and bytes in a second of it."""
_SPACE = 10**9
"""Bytes that reading it may take beside twice its own size."""
_MOST_LABEL = 100
"""Characters of a name in a reason."""


@dataclasses.dataclass(frozen=True)
class KerasFolder:
    """A Keras model on disk that was checked."""

    path: Path
    config: dict[str, Any]
    """What Keras builds the model from."""
    size: int | None
    """Short side, in pixels, that colours are best predicted at; None if it predicts none."""
    parameters: int
    """Numbers in the weights' file: the model has no more of them."""


def check_keras_folder(path: Path) -> KerasFolder:
    """Check the files of a Keras model, without Keras and without building anything.

    Raises:
        ModelError: If anything is missing, could run code, or is not sound.
    """
    table = read_table(path / CONFIG)
    size = table.get("size")
    if size is not None and (not isinstance(size, int) or not 16 <= size <= 4096):
        raise ModelError(f"{path / CONFIG}: `size` should be 16 to 4096. Received: {size!r}")
    config = read_json(path / CONFIG)
    # How it was compiled is of no use here.
    config = {key: value for key, value in config.items() if key not in (KEY, "compile_config")}
    if config.get("class_name") not in _MODELS:
        raise ModelError(
            f"{path / CONFIG}: should describe a functional or a sequential Keras model. "
            f"Received: {config.get('class_name')!r}"
        )
    _check_classes(path / CONFIG, config)
    for name in KERAS_FILES:
        plain_path(path / name)
    return KerasFolder(path, config, size, _count_apart(path / KERAS_WEIGHTS))


def _check_classes(path: Path, config: Any) -> None:
    nodes = [(config, 0)]
    while nodes:
        node, depth = nodes.pop()
        if depth > _MOST_DEPTH:
            raise ModelError(f"{path}: is nested too deep for a configuration")
        if isinstance(node, list):
            nodes += [(part, depth + 1) for part in node]
        if not isinstance(node, dict):
            continue
        if "class_name" in node:
            _check_class(path, node)
        for key, most in _MOST.items():
            if isinstance(node.get(key), int | float) and not node[key] <= most:
                raise ModelError(f"{path}: `{key}` should be at most {most}. Received: {node[key]}")
        nodes += [(part, depth + 1) for part in node.values()]
    if _count_calls(config) > _MOST_CALLS:
        raise ModelError(f"{path}: should have at most {_MOST_CALLS:,} calls of layers")


def _check_class(path: Path, node: dict[str, Any]) -> None:
    name, module = node["class_name"], node.get("module")
    registered = node.get("registered_name", name)
    words = all(one is None or isinstance(one, str) for one in (name, module, registered))
    if words and str(name).rpartition(".")[2] in _NEVER:
        raise ModelError(f"{path}: has the class {name!r}, which could run any code")
    if not (words and _is_allowed(node, name, module, registered)):
        shown = f"{name!r} of {module!r}"
        raise ModelError(
            f"{path}: should have classes of Keras that compute maps, and of this package, or such "
            f"as the program has registered. Received: {shown[:200]}"
        )


def _is_allowed(node: dict[str, Any], name: Any, module: Any, registered: Any) -> bool:
    """Whether what Keras would look up is known, in the order in which it does."""
    config = node.get("config")
    if name in _VALUES:
        dtype = config.get("dtype", "float32") if isinstance(config, dict) else "float32"
        return isinstance(dtype, str) and _DTYPES.fullmatch(dtype) is not None
    if name == "function":
        known = isinstance(config, str) and f"{module}.{config}" in _KNOWN_FUNCTIONS
        return known or (isinstance(config, str) and _is_registered(config))
    if registered in [f"keras_hypercolumns>{own}" for own in CLASSES] or _is_registered(registered):
        return True
    return f"{module}.{name}" in _KNOWN and registered in (None, name)


def _is_registered(name: Any) -> bool:
    """Whether the running program has a class of that name; then nothing is imported for it."""
    keras = sys.modules.get("keras")
    return bool(keras and name and keras.saving.get_registered_object(name))


def _count_calls(model: Any) -> int:
    """How often layers are called where a model runs; one within another as often as that is."""
    config = model.get("config") if isinstance(model, dict) else None
    if not isinstance(config, dict) or model.get("class_name") not in _MODELS:
        return 1
    layers = config.get("layers")
    calls = 0
    for layer in layers if isinstance(layers, list) else []:
        nodes = layer.get("inbound_nodes") if isinstance(layer, dict) else None
        calls += (len(nodes) if isinstance(nodes, list) and nodes else 1) * _count_calls(layer)
    return calls


def _count_apart(path: Path) -> int:
    """Check the weights' file, and count its numbers, in a process of its own.

    Some damaged files make the HDF5 library end the process, or take all memory.
    """
    size = plain_path(path).stat().st_size
    # -P: a file beside the model is not taken for a module.
    command = [sys.executable, "-P", "-m", __spec__.name, os.fspath(path.absolute())]
    answer = ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS + size / _SLOWEST,
            encoding="ascii",
        ).stdout
    try:
        found = json.loads(answer)
    except ValueError:
        found = "is damaged: HDF5's own library does not survive reading it"
    if isinstance(found, int):
        return found
    raise ModelError(f"{path}: {found}")


def _answer(path: Path) -> None:
    """What the process does that `_count_apart` starts: print the number, or the reason."""
    limit_memory(_SPACE + 2 * path.stat().st_size)
    try:
        print(json.dumps(_count_parameters(path)))
    except ModelError as error:
        print(json.dumps(str(error).removeprefix(f"{path}: ")))


def _count_parameters(path: Path) -> int:
    """Check the weights' file, without following what leads out of it, and count its numbers."""
    real = plain_path(path)
    left = real.stat().st_size
    count = 0
    try:
        with h5py.File(real, "r") as file:
            groups, met = [file], {h5py.h5o.get_info(file.id).addr}
            while groups:
                group = groups.pop()
                for name in group:
                    label = repr(name[:_MOST_LABEL])
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ModelError(f"{path}: {label} is a link, which could lead out of it")
                    found = group[name]
                    place = h5py.h5o.get_info(found.id).addr
                    if place in met or len(met) > _MOST_OBJECTS:
                        raise ModelError(f"{path}: {label} is in it twice, or one of too many")
                    met.add(place)
                    if isinstance(found, h5py.Group):
                        groups.append(found)
                        continue
                    left -= _check_array(path, label, found, left)
                    count += math.prod(found.shape)
    except ModelError:
        raise
    # What h5py says of files that are damaged is of any kind.
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{path}: is no weights' file of Keras ({text[:200]})") from None
    return count


def _check_array(path: Path, label: str, found: Any, left: int) -> int:
    """Check an array of a weights' file that has so many bytes left; return how many it takes."""
    # bfloat16 is of no kind that NumPy has.
    if (
        not isinstance(found, h5py.Dataset)
        or found.shape is None
        or found.dtype.kind not in "fiubV"
    ):
        raise ModelError(f"{path}: {label} is no array of numbers")
    if found.external or found.is_virtual:
        raise ModelError(f"{path}: {label} keeps its numbers in another file")
    size: int = math.prod(found.shape) * found.dtype.itemsize
    # A piece of an array that may grow is larger than what is in it, and is unpacked whole.
    piece = math.prod(found.chunks or (0,)) * found.dtype.itemsize
    if max(size, piece) > left:
        raise ModelError(f"{path}: {label} is larger than its file")
    if found.dtype.kind == "f" and not np.isfinite(found[()]).all():
        raise ModelError(f"{path}: {label} is not finite")
    return size


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
