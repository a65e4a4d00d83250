"""Linear least squares on any subset of inputs, from sums that are taken once."""

from typing import Any

import numpy as np
import scipy.linalg


class GramMatrix:
    """Sums of products of hypercolumns and colours, accumulated in float64.

    Args:
        inputs: Number of channels of the hypercolumn.
        outputs: Number of values to predict.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        # Fortran order, so that BLAS adds to it in place; only its upper triangle is filled.
        self.products = np.zeros((inputs, inputs), order="F")
        self.cross = np.zeros((inputs, outputs))
        self.input_sum = np.zeros(inputs)
        self.output_sum = np.zeros(outputs)
        self.output_squares = np.zeros(outputs)
        self.shift: Any = None
        self.count = 0.0

    def add(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add rows of hypercolumns `x` `(rows, inputs)` and colours `y` `(rows, outputs)`.

        A row counts `weights` `(rows,)` times; by default once.
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        w = np.ones(len(x)) if weights is None else weights
        if self.shift is None:
            # Near the mean, so that centring at the end loses no digits.
            self.shift = x.mean(axis=0)
        x = x - self.shift
        x, y = x * np.sqrt(w)[:, None], y * np.sqrt(w)[:, None]
        self.products = scipy.linalg.blas.dsyrk(
            1.0, x.T, beta=1.0, c=self.products, overwrite_c=True
        )
        self.cross += x.T @ y
        self.input_sum += np.sqrt(w) @ x
        self.output_sum += np.sqrt(w) @ y
        self.output_squares += np.sum(y**2, axis=0)
        self.count += w.sum()

    def solve(self, columns: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel and the bias of the best linear head on some of the inputs.

        Args:
            columns: Indices of the inputs that the head sees, in its order.
            ridge: Added to the covariance's diagonal, times the mean variance of an input.
        """
        columns = np.asarray(columns)
        mean, target = self.input_sum[columns] / self.count, self.output_sum / self.count
        covariance = self.covariance(columns, columns)
        cross = self.cross[columns] / self.count - np.outer(mean, target)
        diagonal = np.einsum("ii->i", covariance)
        diagonal += ridge * diagonal.mean()
        # Its transpose is the same, and lies in memory as LAPACK wants it: no copy.
        factor = scipy.linalg.cho_factor(covariance.T, overwrite_a=True)
        kernel = scipy.linalg.cho_solve(factor, cross)
        return kernel, target - (mean + self.shift[columns]) @ kernel

    def covariance(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the covariance of some of the inputs with some others, `(rows, columns)`."""
        low, high = np.minimum.outer(rows, columns), np.maximum.outer(rows, columns)
        mean = self.input_sum / self.count
        # Only the upper triangle of the products is filled.
        products: np.ndarray = self.products[low, high] / self.count
        products -= np.outer(mean[rows], mean[columns])
        return products

    def squared_error(self, columns: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> float:
        """Return the mean squared error, over rows and outputs, of a head on some of the inputs."""
        columns = np.asarray(columns)
        mean = self.input_sum[columns] / self.count
        target = self.output_sum / self.count
        covariance = self.covariance(columns, columns)
        cross = self.cross[columns] / self.count - np.outer(mean, target)
        # About the means: the variance that is left, and what the mean is off by.
        left = self.output_squares / self.count - target**2
        left += np.sum(kernel * (covariance @ kernel - 2 * cross), axis=0)
        left += ((mean + self.shift[columns]) @ kernel + bias - target) ** 2
        return float(left.mean())
