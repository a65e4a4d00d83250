"""Folding of a batch normalisation into the convolution before it."""

from typing import Any

import keras
import numpy as np
from keras import ops


def fold_batch_norm(normalized: keras.Model, plain: keras.Model) -> keras.Model:
    """Copy the weights of a network with batch normalisation into its plain twin.

    In inference, `norm(conv(x)) = gamma * (conv(x) - mean) / sqrt(var + eps) + beta` is itself a
    convolution with a bias; its weights are computed in float64.

    Example:

    >>> from keras_hypercolumns import fold_batch_norm, vgg19_gray
    >>> trained = vgg19_gray(("pool1",), batch_norm=True)
    >>> plain = fold_batch_norm(trained, vgg19_gray(("pool1",)))
    >>> len(trained.weights), len(plain.weights)
    (10, 4)

    Args:
        normalized: A `vgg19_gray`, `colorizer` or `joint_colorizer` model that was built with
            `batch_norm=True`.
        plain: The same model built with `batch_norm=False`; its weights are overwritten. Heads
            are copied as they are. It may have fewer heads or taps than `normalized`.

    Returns:
        `plain`.

    Raises:
        ValueError: If a layer of `plain` is not in `normalized`.
    """
    sources = _layers(normalized)
    for name, layer in _layers(plain).items():
        if not layer.weights:
            continue
        if name not in sources:
            raise ValueError(
                f"`normalized` should have every layer of `plain`, as two models of the same "
                f"taps have. Missing: {name!r}. Received: {sorted(sources)}"
            )
        source = sources[name]
        norm = sources.get(name.replace("conv", "norm"))
        if not name.startswith("conv") or norm is None:
            layer.set_weights(source.get_weights())
            continue
        kernel = _float64(source.kernel)
        factor = _float64(norm.gamma) / np.sqrt(_float64(norm.moving_variance) + norm.epsilon)
        bias = _float64(norm.beta) - _float64(norm.moving_mean) * factor
        layer.set_weights([kernel * factor, bias])
    return plain


def _layers(model: keras.Model) -> dict[str, Any]:
    """Layers by name, those of nested models among them."""
    found: dict[str, Any] = {}
    for layer in model.layers:
        found.update(_layers(layer) if hasattr(layer, "layers") else {layer.name: layer})
    return found


def _float64(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable), np.float64)
