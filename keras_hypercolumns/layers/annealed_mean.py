"""The `AnnealedMean` layer."""

from typing import Any

import keras
from keras import ops

from keras_hypercolumns.colors.ab_bins import ab_bins

TEMPERATURE = 0.38
"""That of the paper."""


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class AnnealedMean(keras.layers.Layer):
    """The colour that scores of colour bins mean.

    A softmax at a temperature, and the mean of the bins' colours by it. A temperature of 1 gives
    the mean of the distribution, which is as pale as that of a regression; towards 0, the colour of
    the highest score, vivid and ragged.

    Example:

    >>> import numpy as np
    >>> from keras_hypercolumns import AnnealedMean
    >>> from keras_hypercolumns.colors.ab_bins import ab_bins
    >>> scores = np.full((1, 1, 1, 313), -20.0, "float32")
    >>> scores[..., [0, 4]] = 2, 1
    >>> ab_bins()[[0, 4]].tolist()
    [[-90.0, 50.0], [-90.0, 90.0]]
    >>> for temperature in (1, 0.1):
    ...     print(np.asarray(AnnealedMean(temperature)(scores))[0, 0, 0].round().tolist())
    [-90.0, 61.0]
    [-90.0, 50.0]

    Args:
        temperature: Of the softmax, above 0. Defaults to 0.38, that of the paper.

    Input shape:
        `(..., bins)`: scores, as logits. As many as `ab_bins` has, 313.

    Output shape:
        `(..., 2)`: A and B in CIELAB units.

    Raises:
        ValueError: If the temperature is not above 0, or there is another number of scores.

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2.3.
    """

    def __init__(self, temperature: float = TEMPERATURE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(f"`temperature` should be above 0. Received: {temperature!r}")
        self.temperature = temperature

    def build(self, input_shape: Any) -> None:
        colors = ab_bins()
        if input_shape[-1] != len(colors):
            raise ValueError(
                f"`inputs` of layer {self.name!r} should have a score for each of the "
                f"{len(colors)} bins, on the last axis. Received: shape {tuple(input_shape)}"
            )
        # A weight, so that a model that is stored says what its bins are.
        self.bins = self.add_weight(
            name="bins",
            shape=colors.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(colors, dtype=dtype),
            trainable=False,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        shares = ops.softmax(inputs / self.temperature, axis=-1)
        return ops.matmul(shares, ops.cast(self.bins, shares.dtype))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
