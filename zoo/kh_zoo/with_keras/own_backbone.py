"""A trained colorizer with a backbone of one's own, as the start of another training."""

import dataclasses
from typing import Any

from keras_hypercolumns import ColorizerModel, joint_colorizer
from kh_zoo.errors import ModelError
from kh_zoo.networks.model_folder import VIVID, ModelFolder
from kh_zoo.networks.network import INPUT, Network
from kh_zoo.networks.tensors import read_tensors
from kh_zoo.with_keras.from_network import WEIGHT_NORM, keras_model
from kh_zoo.with_keras.unfolding import fill_hidden, fill_linear

_GRAY = "scale_lightness"


def own_keys(folder: ModelFolder, head: str) -> dict[str, Any]:
    """What a recipe has to say to train one variant of a folder with a backbone of one's own.

    Args:
        folder: The model folder.
        head: Its variant, by the name of one of its heads.

    Returns:
        The keys `variants`, `taps`, `head` and `vivid` of a `Recipe`.
    """
    heads, network = folder.config.heads, folder.config.network
    name = head.removesuffix(VIVID)
    kinds = {node.name: node.op for node in network.nodes}
    hidden = f"head_{name}_relu" in kinds
    taps = tuple(
        f"{one}{WEIGHT_NORM}" if kinds[one] == "convolution" else one for one in heads[name]
    )
    return {
        "variants": (name,),
        "taps": {name: taps},
        "head": "hidden" if hidden else "linear",
        # That of a linear head sees other maps: it is fitted anew where it is wanted.
        "vivid": (name,) if hidden and f"{name}{VIVID}" in heads else (),
    }


def load_own_backbone(folder: ModelFolder, head: str) -> ColorizerModel:
    """Load one variant of such a folder, every convolution with a normalisation behind it.

    Args:
        folder: The model folder.
        head: Its variant, by the name of one of its heads.

    Returns:
        A `joint_colorizer` that predicts what the folder does.

    Raises:
        ModelError: If it is not built as `joint_colorizer` builds one.
    """
    name = head.removesuffix(VIVID)
    try:
        keys, tensors = own_keys(folder, head), read_tensors(folder)
        trunk = keras_model(_trunk(folder.config.network, folder.config.heads[name]), tensors, True)
        joint = joint_colorizer(
            keys["variants"], trunk=trunk, taps=keys["taps"], head=keys["head"], vivid=keys["vivid"]
        )
        fill = fill_hidden if keys["head"] == "hidden" else fill_linear
        fill(joint, name, folder, tensors)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{folder.path}: should hold a colorizer as `joint_colorizer` builds it, to be trained "
            f"on. Received: {head!r} of another kind ({error})"
        ) from None
    return joint


def _trunk(network: Network, maps: tuple[str, ...]) -> Network:
    """From the grey value to the maps that a head sees."""
    whole = Network(network.nodes, {one: one for one in maps}).part(maps)
    nodes = [
        dataclasses.replace(node, inputs=tuple(INPUT if x == _GRAY else x for x in node.inputs))
        for node in whole.nodes
        if node.name != _GRAY
    ]
    if len(nodes) == len(whole.nodes):
        raise ValueError(f"its trunk does not see {_GRAY!r}")
    return Network(tuple(nodes), whole.outputs)
