"""The weight of one cell at every pixel, in the three coordinate conventions."""

from keras import ops
from matplotlib import pyplot as plt

from keras_hypercolumns.layers.interpolation import COORDINATES, interpolation_matrix

PIXELS, CELLS, CELL = 16, 4, 1


def draw():
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    stride = PIXELS // CELLS
    axes.axvspan(CELL * stride - 0.5, (CELL + 1) * stride - 0.5, color="0.9", label="its pixels")
    for coordinates, marker in zip(COORDINATES, "os^", strict=True):
        matrix = interpolation_matrix(PIXELS, CELLS, "bilinear", coordinates)
        weights = ops.convert_to_numpy(matrix)[:, CELL]
        axes.plot(weights, marker=marker, markersize=4, label=f'"{coordinates}"')
    axes.set(xlabel="pixel", ylabel=f"weight of cell {CELL}", xticks=range(PIXELS))
    axes.legend(frameon=False)
    return figure
