"""The model that is trained: sRGB in, the error of every variant's colours out."""

from typing import Any

import keras
from keras import ops

from keras_hypercolumns.color import srgb_to_lab
from keras_hypercolumns.colorizer import AB_SCALE
from keras_hypercolumns.training.picture_weights import picture_weights


class JointTrainer(keras.Model):
    """Trains the heads of a `joint_colorizer` and their common trunk on colour pictures.

    The loss is the mean over the variants of the squared error of AB, in units of `AB_SCALE`.

    Args:
        colorizer: A `joint_colorizer`.
        weighting: How much less a picture counts whose error is large, as for `picture_weights`.

    Input shape:
        `(batch, height, width, 3)`: uint8 sRGB.

    Output shape:
        A dict with `(batch, height, width, 2)` for each variant, and for `"truth"`.
    """

    def __init__(self, colorizer: keras.Model, weighting: float = 0.0) -> None:
        super().__init__()
        self.colorizer = colorizer
        self.weighting = weighting
        self.errors = {name: keras.metrics.Mean(name=name) for name in colorizer.output}

    def call(self, rgb: Any, training: bool | None = None) -> dict[str, Any]:
        lab = srgb_to_lab(ops.cast(rgb, "float32") / 255)
        return {**self.colorizer(lab[..., :1], training=training), "truth": lab[..., 1:]}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        errors = {
            name: ops.mean(ops.square(y_pred[name] - y_pred["truth"]), axis=(1, 2, 3))
            for name in self.errors
        }
        for name, metric in self.errors.items():
            metric.update_state(errors[name] / AB_SCALE**2)
        total = sum(errors.values()) / len(errors)
        weights = ops.stop_gradient(picture_weights(total, self.weighting))
        # Without the batch's own sum of weights: a picture's part does not depend on its company.
        return ops.mean(weights * total) / AB_SCALE ** (2 - 2 * self.weighting)
