"""From a model folder to the Keras model of all its variants, for a training to start from."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_hypercolumns import ColorizerModel, colorizer, joint_colorizer
from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS
from kh_zoo.catalog.find import open_model
from kh_zoo.errors import ModelError, ZooError
from kh_zoo.networks.model_folder import VIVID, ModelFolder
from kh_zoo.networks.network import Network
from kh_zoo.networks.tensors import read_tensors
from kh_zoo.networks.vgg19 import TAPS as VGG19_TAPS
from kh_zoo.with_keras.own_backbone import load_own_backbone, own_keys
from kh_zoo.with_keras.unfolding import fill_hidden, fill_linear, unfold

LITE = "lite"


def load_joint_model(model: str) -> ColorizerModel:
    """Load a trained model with all of its variants, as one trunk with several heads.

    Args:
        model: As for `load_model`. The variants that share the trunk of the one that it names come
            with it.

    Returns:
        A `joint_colorizer`. If the folder has no variant of the library: on a VGG-19 a `colorizer`
        whose head is not trained; of a backbone of one's own the variant that is named, and its
        vivid head.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model, or not built as the library builds one.
    """
    folder, head = open_model(model)
    if _holds_lite(folder):
        return _lite(folder)
    if _has_own_backbone(folder, head):
        return load_own_backbone(folder, head)
    pooling, trunk_input = _trunk_of(folder.config.network)
    heads = _known_heads(folder)
    if not heads:
        # Its head is none of the library's, so the trunk is all that is taken.
        alone = colorizer(folder.config.heads[head], pooling, trunk_input=trunk_input)
        _fill(alone, folder)
        return alone
    joint = joint_colorizer(heads, pooling, trunk_input=trunk_input)
    _fill(joint, folder, heads)
    return joint


def recipe_keys(model: str) -> dict[str, Any]:
    """What a recipe has to say to train on a model that is none of VGG-19.

    Args:
        model: As of `load_joint_model`.

    Returns:
        Keys of a `Recipe`; none for a VGG-19, and where there is no such model.
    """
    try:
        folder, head = open_model(model)
    except ZooError:
        return {}  # what is wrong with it is told when it is read
    if _holds_lite(folder):
        return {"variants": (LITE,)}
    return own_keys(folder, head) if _has_own_backbone(folder, head) else {}


def _known_heads(folder: ModelFolder) -> tuple[str, ...]:
    """The heads of a folder that are variants of the library on a VGG-19."""
    known = {**VARIANTS, **STUDY_VARIANTS}
    return tuple(name for name, taps in folder.config.heads.items() if known.get(name) == taps)


def _has_own_backbone(folder: ModelFolder, head: str) -> bool:
    taps = set(folder.config.heads[head])
    return not _known_heads(folder) and not taps <= set(VGG19_TAPS)


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
        for layer in joint.trunk.layers:
            if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
                _fill_convolution(joint.trunk, layer, tensors)
        fill_hidden(joint, LITE, folder, tensors)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{folder.path}: should hold the variant {LITE!r} as this version of the package "
            f"builds it. Received: {error}"
        ) from None
    return joint


def _fill_convolution(
    trunk: keras.Model, layer: keras.Layer, tensors: Mapping[str, np.ndarray]
) -> None:
    """Set the weights of a convolution, and of the normalisation behind it."""
    kernel = tensors[f"{layer.name}.kernel"].transpose(2, 3, 1, 0)
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    if depthwise:
        kernel = kernel.transpose(0, 1, 3, 2)
    of_kernel, of_norm = unfold(kernel, tensors[f"{layer.name}.bias"], depthwise)
    layer.set_weights(of_kernel)
    trunk.get_layer(f"{layer.name}_norm").set_weights(of_norm)


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
    _fill(joint, folder)
    return joint


def _trunk_of(network: Network) -> tuple[str, str]:
    """The pooling of a VGG-19, and what it sees of L, as `joint_colorizer` calls them."""
    kinds = {node.op for node in network.nodes}
    return (
        "max" if "max_pooling" in kinds else "average",
        "gray" if "lightness_to_gray" in kinds else "scaled",
    )


def _fill(model: ColorizerModel, folder: ModelFolder, heads: Iterable[str] = ()) -> None:
    """Set the weights of a VGG-19 in a `joint_colorizer`, and of those of its heads."""
    tensors = read_tensors(folder)
    for layer in model.trunk.layers:
        if layer.weights:
            kernel = tensors[f"{layer.name}.kernel"].transpose(2, 3, 1, 0)
            layer.set_weights([kernel, tensors[f"{layer.name}.bias"]])
    for name in heads:
        fill_linear(model, name, folder, tensors)
