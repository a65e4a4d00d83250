"""From a model folder to the Keras model of all its variants, for a training to start from."""

import keras

from keras_hypercolumns import joint_colorizer
from keras_hypercolumns.taps import STUDY_VARIANTS, VARIANTS
from kh_zoo.errors import ModelError
from kh_zoo.keras_model import build_model, fill_model
from kh_zoo.resolve import resolve


def load_joint_model(model: str) -> keras.Model:
    """Load a trained model with all of its variants, as one trunk with several heads.

    Args:
        model: As for `load_model`. The variants that share the trunk of the one that it names come
            with it.

    Returns:
        A `joint_colorizer`. If the folder has no variant of the library, the `colorizer` of the
        one that is named.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model.
    """
    folder, head = resolve(model)
    config = folder.config
    known = {**VARIANTS, **STUDY_VARIANTS}
    heads = {name: taps for name, taps in config.heads.items() if known.get(name) == taps}
    if not heads:
        return build_model(folder, head)
    joint = joint_colorizer(tuple(heads), config.pooling, trunk_input=config.input)
    fill_model(joint, folder, {name: name for name in heads})
    return joint


def load_full_trunk(model: str) -> keras.Model:
    """Load the trunk of a trained model, with the taps of all variants that have linear heads.

    Args:
        model: As for `load_model`.

    Returns:
        A `joint_colorizer` whose heads are not trained.

    Raises:
        VariantError: If there is no such variant or folder.
        ModelError: If the folder is no model, or its trunk ends before the last tap of `full`.
    """
    folder, _ = resolve(model)
    joint = joint_colorizer(
        ("full", *STUDY_VARIANTS), folder.config.pooling, trunk_input=folder.config.input
    )
    missing = [
        layer.name
        for layer in joint.get_layer("trunk").layers
        if layer.weights and f"{layer.name}.kernel" not in folder.tensors
    ]
    if missing:
        raise ModelError(
            "`model` should have a trunk up to conv5_4, as the catalogue's have. Received: "
            f"{model}, without {missing[0]}"
        )
    fill_model(joint, folder, {})
    return joint
