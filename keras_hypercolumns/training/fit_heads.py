"""The AB heads in closed form: linear least squares on a frozen trunk."""

import numpy as np
import scipy.linalg
from keras import ops

from keras_hypercolumns.color import srgb_to_lab
from keras_hypercolumns.interpolation import interpolation_matrix
from keras_hypercolumns.taps import tap_stride


class GramMatrix:
    """Sums of products of hypercolumns and colours, accumulated in float64.

    Args:
        inputs: Number of channels of the hypercolumn.
        outputs: Number of values to predict.
    """

    def __init__(self, inputs, outputs):
        # Fortran order, so that BLAS adds to it in place; only its upper triangle is filled.
        self.products = np.zeros((inputs, inputs), order="F")
        self.cross = np.zeros((inputs, outputs))
        self.input_sum = np.zeros(inputs)
        self.output_sum = np.zeros(outputs)
        self.shift = None
        self.count = 0

    def add(self, x, y):
        """Add rows of hypercolumns `x` `(rows, inputs)` and colours `y` `(rows, outputs)`."""
        x = np.asarray(x, np.float64)
        if self.shift is None:
            # Near the mean, so that centring at the end loses no digits.
            self.shift = x.mean(axis=0)
        x = x - self.shift
        self.products = scipy.linalg.blas.dsyrk(
            1.0, x.T, beta=1.0, c=self.products, overwrite_c=True
        )
        self.cross += x.T @ y
        self.input_sum += x.sum(axis=0)
        self.output_sum += y.sum(axis=0)
        self.count += len(x)

    def solve(self, columns, ridge):
        """Return the kernel and the bias of the best linear head on some of the inputs.

        Args:
            columns: Indices of the inputs that the head sees, in its order.
            ridge: Added to the covariance's diagonal, times the mean variance of an input.
        """
        columns = np.asarray(columns)
        low, high = np.minimum.outer(columns, columns), np.maximum.outer(columns, columns)
        mean, target = self.input_sum[columns] / self.count, self.output_sum / self.count
        covariance = self.products[low, high] / self.count - np.outer(mean, mean)
        cross = self.cross[columns] / self.count - np.outer(mean, target)
        diagonal = np.einsum("ii->i", covariance)
        diagonal += ridge * diagonal.mean()
        kernel = scipy.linalg.solve(covariance, cross, assume_a="pos", overwrite_a=True)
        return kernel, target - (mean + self.shift[columns]) @ kernel


def fit_heads(colorizer, batches, points, ridge, on_batch=None):
    """Replace the heads of a `joint_colorizer` by the best linear ones, in closed form.

    Each batch is predicted once; the hypercolumns of all taps at a few random pixels of each
    picture are added to one Gram matrix, and every head is solved from its sub-block.

    Args:
        colorizer: A `joint_colorizer` without batch normalisation. Its heads are overwritten.
        batches: A `PictureDataset`.
        points: Pixels sampled from each picture.
        ridge: As for `GramMatrix.solve`.
        on_batch: Called with the number of batches done.

    Returns:
        The `GramMatrix`.
    """
    trunk = colorizer.get_layer("trunk")
    channels = _channels(colorizer)
    scale = colorizer.get_layer("scale_lightness")
    gram = GramMatrix(sum(channels.values()), 2)
    for index in range(len(batches)):
        lab = ops.convert_to_numpy(srgb_to_lab(batches[index][0].astype("float32") / 255))
        maps = trunk.predict_on_batch(np.asarray(scale(lab[..., :1])))
        random = np.random.default_rng((batches.seed, batches.first_step + index))
        where = random.integers(0, lab.shape[1], (len(lab), 2, points))
        rows = [
            np.concatenate(
                [_sample(maps[tap][i], tap_stride(tap), lab.shape[1], *where[i]) for tap in maps],
                axis=1,
            )
            for i in range(len(lab))
        ]
        colors = [lab[i][tuple(where[i])][:, 1:] for i in range(len(lab))]
        gram.add(np.concatenate(rows), np.concatenate(colors).astype(np.float64))
        if on_batch:
            on_batch(index + 1)
    solve_heads(colorizer, gram, ridge)
    return gram


def solve_heads(colorizer, gram, ridge):
    """Replace the heads by the solutions of a `GramMatrix` that `fit_heads` returned."""
    channels = _channels(colorizer)
    starts = dict(zip(channels, np.cumsum([0, *channels.values()]), strict=False))
    for name in colorizer.output:
        head = colorizer.get_layer(f"head_{name}")
        columns = [np.arange(starts[tap], starts[tap] + channels[tap]) for tap in head.taps]
        kernel, bias = gram.solve(np.concatenate(columns), ridge)
        unit = colorizer.get_layer(f"ab_{name}").scale
        head.set_weights([(kernel / unit)[None, None], bias / unit])


def _channels(colorizer):
    """Channels of each tap, in the order in which the Gram matrix has them."""
    return {tap: maps.shape[-1] for tap, maps in colorizer.get_layer("trunk").output.items()}


def _sample(maps, stride, size, rows, columns):
    """Return one tap of the hypercolumn at some pixels, `(points, channels)`."""
    height, width, channels = maps.shape
    vertical = ops.convert_to_numpy(
        interpolation_matrix(size, height, "bilinear", "half_pixel", stride)
    )
    horizontal = ops.convert_to_numpy(
        interpolation_matrix(size, width, "bilinear", "half_pixel", stride)
    )
    weights = vertical[rows][:, :, None] * horizontal[columns][:, None, :]
    return weights.reshape(len(rows), -1) @ maps.reshape(-1, channels)
