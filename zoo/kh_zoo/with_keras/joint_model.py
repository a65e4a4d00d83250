"""From a model folder to the Keras model of all its variants, for a training to start from."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_hypercolumns import AnnealedMean, ColorizerModel, colorizer, joint_colorizer
from keras_hypercolumns.backbones.vgg19 import taps
from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.layers.tap_layer import layer_name
from kh_zoo.catalog.find import open_model
from kh_zoo.errors import ModelError, ZooError
from kh_zoo.networks.model_folder import VIVID, ModelFolder
from kh_zoo.networks.network import Network
from kh_zoo.networks.tensors import read_tensors
from kh_zoo.networks.vgg19 import TAPS as VGG19_TAPS

LITE = "lite"


def load_joint_model(model: str) -> ColorizerModel:
    """Load a trained model with all of its variants, as one trunk with several heads.

    Args:
        model: As for `load_model`. The variants that share the trunk of the one that it names come
            with it.

    Returns:
        A `joint_colorizer`. If the folder has no variant of the library, a `colorizer` on its
        trunk, whose head is not trained.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model, or has another trunk than those of the catalogue.
    """
    folder, head = open_model(model)
    config = folder.config
    if _holds_lite(folder):
        return _lite(folder)
    known = {**VARIANTS, **STUDY_VARIANTS}
    heads = {name: taps for name, taps in config.heads.items() if known.get(name) == taps}
    pooling, trunk_input = _trunk_of(config.network)
    if not heads:
        own = config.heads[head]
        if not set(own) <= set(VGG19_TAPS):
            raise ModelError(
                f"{folder.path}: should have a trunk to begin with, a VGG-19 or that of {LITE!r}. "
                f"Received: {head!r} with the taps {', '.join(own)}"
            )
        # Its head is none of the library's, so the trunk is all that is taken.
        alone = colorizer(own, pooling, trunk_input=trunk_input)
        _fill(alone, folder, {})
        return alone
    joint = joint_colorizer(tuple(heads), pooling, trunk_input=trunk_input)
    _fill(joint, folder, {name: name for name in heads})
    return joint


def is_lite(model: str | None) -> bool:
    """Whether there is a trained model of that name or path, and it is a `lite`."""
    try:
        return model is not None and _holds_lite(open_model(model)[0])
    except ZooError:
        return False


def _holds_lite(folder: ModelFolder) -> bool:
    """Whether a model folder has the variant `lite`, as this package builds it."""
    names = {node.name for node in folder.config.network.nodes}
    return LITE in folder.config.heads and {"stem", f"{LITE}_hidden_sum"} <= names


def _lite(folder: ModelFolder) -> ColorizerModel:
    """The variant `lite` of a folder, its vivid head too, with all of its normalisations.

    In the folder they are folded. In the model they take the lengths of the kernels upon
    themselves, so that a step of an optimizer turns all of them alike (Salimans and Kingma 2016,
    "Weight Normalization"): folded kernels differ in length by a factor of a thousand.
    """
    vivid = (LITE,) if f"{LITE}{VIVID}" in folder.config.heads else ()
    joint = joint_colorizer((LITE,), vivid=vivid)
    tensors = read_tensors(folder)
    try:
        for layer in (*joint.trunk.layers, *joint.layers):
            if layer.name == f"head_{LITE}_hidden":
                _unfold_hidden(joint, layer, tensors)
            elif isinstance(layer, AnnealedMean):
                layer.set_weights([tensors[f"{layer.name}.kernel"][:, :, 0, 0].T])
            elif isinstance(layer, keras.layers.BatchNormalization):
                continue  # it gets them with the kernel before or behind it
            elif layer.weights and layer is not joint.trunk:
                _unfold(joint.trunk, layer, tensors)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{folder.path}: should hold the variant {LITE!r} as this version of the package "
            f"builds it. Received: {error}"
        ) from None
    return joint


def _unfold(trunk: keras.Model, layer: keras.Layer, tensors: Mapping[str, np.ndarray]) -> None:
    """Set the weights of a convolution, and of the normalisation behind it if there is one."""
    kernel, axes = tensors[f"{layer.name}.kernel"].transpose(2, 3, 1, 0), (0, 1, 2)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel, axes = kernel.transpose(0, 1, 3, 2), (0, 1, 3)
    bias = tensors[f"{layer.name}.bias"]
    if layer.use_bias:
        layer.set_weights([kernel, bias])
        return
    lengths = _lengths(kernel, axes)
    layer.set_weights([kernel / lengths])
    _normalize(trunk.get_layer(f"{layer.name}_norm"), lengths.ravel(), bias)


def _unfold_hidden(
    joint: ColorizerModel, layer: keras.Layer, tensors: Mapping[str, np.ndarray]
) -> None:
    """Set the weights of the projection, and of the normalisations before and behind it."""
    first = f"{LITE}_hidden_{taps.LITE[0]}"
    factor = tensors[f"{LITE}_hidden_sum_scaled.kernel"].ravel()
    # The means of the taps are in the bias of the first one.
    offset = tensors[f"{LITE}_hidden_sum_scaled.bias"] + factor * tensors[f"{first}.bias"]
    kernels = [
        tensors[f"{LITE}_hidden_{tap}.kernel"].transpose(2, 3, 1, 0) * factor for tap in layer.taps
    ]
    ends = np.cumsum([kernel.shape[2] for kernel in kernels])
    kernel = np.concatenate(kernels, axis=2)
    # What has a small variance has long kernels: they come to be as long as they are wide.
    rows = _lengths(kernel, (0, 1, 3)) * np.sqrt(kernel.shape[2] / kernel.shape[3])
    lengths = _lengths(kernel / rows, (0, 1, 2))
    layer.set_weights([kernel / rows / lengths])
    _normalize(joint.get_layer(f"head_{LITE}_norm"), lengths.ravel(), offset)
    for tap, row in zip(layer.taps, np.split(rows.ravel(), ends[:-1]), strict=True):
        norm = joint.get_layer(f"head_{LITE}_norm_{layer_name(tap)}")
        norm.set_weights([0 * row, row**-2.0 - norm.epsilon])


def _lengths(kernel: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The lengths of kernels, 1 where there is nothing."""
    lengths = np.sqrt(np.sum(kernel.astype("float64") ** 2, axes, keepdims=True))
    return np.where(lengths > 0, lengths, 1).astype("float32")


def _normalize(
    layer: keras.layers.BatchNormalization, factor: np.ndarray, offset: np.ndarray
) -> None:
    """Set the weights of a normalisation that multiplies by a factor and adds an offset."""
    variance = np.maximum(factor**-2.0 - layer.epsilon, 0)
    gamma = factor * np.sqrt(variance + layer.epsilon)
    layer.set_weights([gamma, offset, 0 * variance, variance])


def load_full_trunk(model: str) -> ColorizerModel:
    """Load the trunk of a trained model, with the taps of all variants that have linear heads.

    Args:
        model: As for `load_model`.

    Returns:
        A `joint_colorizer` whose heads are not trained.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model, or its trunk ends before the last tap of `full`.
    """
    folder, _ = open_model(model)
    pooling, trunk_input = _trunk_of(folder.config.network)
    joint = joint_colorizer(("full", *STUDY_VARIANTS), pooling, trunk_input=trunk_input)
    missing = [
        layer.name
        for layer in joint.trunk.layers
        if layer.weights and f"{layer.name}.kernel" not in folder.tensors
    ]
    if missing:
        raise ModelError(
            "`model` should have a trunk up to conv5_4, as the catalogue's have. Received: "
            f"{model}, without {missing[0]}"
        )
    _fill(joint, folder, {})
    return joint


def _trunk_of(network: Network) -> tuple[str, str]:
    """The pooling of a VGG-19, and what it sees of L, as `joint_colorizer` calls them."""
    kinds = {node.op for node in network.nodes}
    return (
        "max" if "max_pooling" in kinds else "average",
        "gray" if "lightness_to_gray" in kinds else "scaled",
    )


def _fill(model: ColorizerModel, folder: ModelFolder, heads: Mapping[str, str]) -> None:
    """Set the weights of a `joint_colorizer`; `heads` maps its heads to those of the folder."""
    tensors = read_tensors(folder)
    nodes = {node.name: node for node in folder.config.network.nodes}
    for layer in model.trunk.layers:
        if layer.weights:
            kernel = tensors[f"{layer.name}.kernel"].transpose(2, 3, 1, 0)
            layer.set_weights([kernel, tensors[f"{layer.name}.bias"]])
    for name, head in heads.items():
        taps = [nodes[f"{head}_{tap}"].tensors for tap in folder.config.heads[head]]
        kernels = [tensors[tap["kernel"]].transpose(2, 3, 1, 0) for tap in taps]
        # The file's heads may be in another unit.
        unit = _unit(folder.config.network, head) / model.unit(name)
        model.heads[name].set_weights(
            [np.concatenate(kernels, axis=2) * unit, tensors[taps[0]["bias"]] * unit]
        )


def _unit(network: Network, head: str) -> float:
    """CIELAB units of A and B per unit of a head."""
    node = next(node for node in network.nodes if node.name == network.outputs[head])
    return float(node.attributes["factor"])
