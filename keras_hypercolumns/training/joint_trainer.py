"""The model that is trained: sRGB in, the error of every variant's colours out."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.colorizers.colorizer import VIVID
from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.colorizers.hidden_head import AB_SCALE, VIVID_STRIDE
from keras_hypercolumns.colors.ab_bins import ab_bins, rebalancing, soft_encoding
from keras_hypercolumns.training.data.picture_dataset import PictureDataset, lab_of
from keras_hypercolumns.training.heads.picture_weights import picture_weights

ROOT_FLOOR = 0.01
"""Added to a picture's error, in squared units of `AB_SCALE`, before its root is taken: so that
one that is nearly right does not outweigh the others."""
SCORES = "/scores"
"""Ends the name of the scores of a vivid head."""
CELL = 2
"""CIELAB units per cell of the table that says how a colour is spread over the bins."""
_REACH = 128


class JointTrainer(keras.Model):
    """Trains the heads of a `joint_colorizer` and their common trunk on colour pictures.

    The loss is the mean over the variants of the squared error of AB, in units of `AB_SCALE`, or
    of its root for each picture. Vivid heads, if there are any, are trained by the cross-entropy of
    their scores with the softly encoded mean colours of their cells.

    Args:
        colorizer: A `joint_colorizer`.
        weighting: How much less a picture counts whose squared error is large, as for
            `picture_weights`.
        loss: `"squared"` or `"root"`, `sqrt(error + ROOT_FLOOR)` of each picture, for which
            `weighting` is not used.
        vivid_loss: How much the cross-entropy counts beside it.

    Input shape:
        `(batch, height, width, 3)`: uint8 sRGB, or another batch of a `PictureDataset`.

    Output shape:
        A dict with `(batch, height, width, 2)` for each head, and for `"truth"`; in training also
        the scores of each vivid head, `"NAME/scores"`.

    Reference:
        - [Zhang et al., 2016](https://arxiv.org/abs/1603.08511), section 2, for the cross-entropy.
    """

    def __init__(
        self,
        colorizer: ColorizerModel,
        weighting: float = 0.0,
        loss: str = "squared",
        vivid_loss: float = 0.0,
    ) -> None:
        super().__init__()
        self.colorizer = colorizer
        self.weighting = weighting
        self.loss_of_pictures = loss
        self.vivid_loss = vivid_loss
        self.vivid = [name for name in colorizer.output if name.endswith(VIVID)]
        self.errors = {name: keras.metrics.Mean(name=name) for name in colorizer.output}
        if not self.vivid:
            return
        self.entropy = keras.metrics.Mean(name="cross_entropy")
        self.bin_weights = self.add_weight(
            name="bin_weights", shape=(len(ab_bins()),), initializer="ones", trainable=False
        )
        scores = {f"{name}{SCORES}": colorizer.heads[name] for name in self.vivid}
        outputs = {name: layer.output for name, layer in scores.items()}
        self.scorer = keras.Model(colorizer.input, {**colorizer.output, **outputs})
        cells = (np.arange(-_REACH, _REACH, CELL) + CELL / 2).astype("float32")
        colors = np.stack(np.meshgrid(cells, cells, indexing="ij"), axis=-1).reshape(-1, 2)
        nearest, shares = soft_encoding(colors, ab_bins())
        self.nearest, self.shares = nearest.astype("int32"), shares.astype("float32")

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        lab = lab_of(inputs)
        network = self.scorer if self.vivid and training else self.colorizer
        return {**network(lab[..., :1], training=training), "truth": lab[..., 1:]}

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
        regressed = [errors[name] for name in self.errors if name not in self.vivid]
        loss = self._of_pictures(sum(regressed) / len(regressed))
        if not self.vivid:
            return loss
        entropies = [
            self._cross_entropy(y_pred[f"{name}{SCORES}"], y_pred["truth"]) for name in self.vivid
        ]
        entropy = sum(entropies) / len(entropies)
        self.entropy.update_state(entropy)
        return loss + self.vivid_loss * entropy

    def _of_pictures(self, errors: Any) -> Any:
        if self.loss_of_pictures == "root":
            return ops.mean(ops.sqrt(errors / AB_SCALE**2 + ROOT_FLOOR))
        weights = ops.stop_gradient(picture_weights(errors, self.weighting))
        # Without the batch's own sum of weights: a picture's part does not depend on its company.
        return ops.mean(weights * errors) / AB_SCALE ** (2 - 2 * self.weighting)

    def _cross_entropy(self, scores: Any, truth: Any) -> Any:
        """Mean over the cells, each weighted by how rare its colour is."""
        nearest, shares = self._encoded(truth)
        logs = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
        entropies = -ops.sum(shares * ops.take_along_axis(logs, nearest, axis=-1), axis=-1)
        weights = ops.take(self.bin_weights, nearest[..., 0], axis=0)
        return ops.mean(weights * entropies)

    def _encoded(self, truth: Any) -> tuple[Any, Any]:
        """The nearest bins of the mean colours of cells, and the share of each."""
        # The strides are given, because JAX's default of them fails (Keras 3.15).
        means = ops.average_pool(
            truth, VIVID_STRIDE, strides=VIVID_STRIDE, data_format="channels_last"
        )
        cells = 2 * _REACH // CELL
        row_column = ops.clip(ops.floor((means + _REACH) / CELL), 0, cells - 1)
        place = ops.cast(row_column[..., 0] * cells + row_column[..., 1], "int32")
        return ops.take(self.nearest, place, axis=0), ops.take(self.shares, place, axis=0)

    def rebalance(self, batches: PictureDataset, uniform: float) -> None:
        """Weigh the cells of vivid heads by how rare their colours are in some pictures.

        Args:
            batches: The pictures.
            uniform: As for `rebalancing`.
        """
        counts = np.zeros(len(ab_bins()))
        for index in range(len(batches)):
            nearest, _ = self._encoded(lab_of(batches[index][0])[..., 1:])
            found = ops.convert_to_numpy(nearest)[..., 0].ravel()
            counts += np.bincount(found, minlength=len(counts))
        self.bin_weights.assign(rebalancing(counts / counts.sum(), ab_bins(), uniform))
