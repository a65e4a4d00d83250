"""An edge in a picture of 133 pixels, in a map of 8 cells of 16 pixels, brought up again."""

import keras
import numpy as np
from keras import ops
from matplotlib import pyplot as plt

from keras_hypercolumns import HyperColumn

SIZE, STRIDE, EDGE = 133, 16, 96


def draw():
    picture = np.broadcast_to(np.arange(SIZE) >= EDGE, (1, SIZE, SIZE)).astype("float32")[..., None]
    pooling = keras.layers.AveragePooling2D(STRIDE, data_format="channels_last")
    maps = {"picture": picture, "map": pooling(picture)}
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    axes.plot(picture[0, 0, :, 0], color="0.6", drawstyle="steps-mid", label="the picture")
    for strides, style in ((None, "-"), ({"map": STRIDE}, "--")):
        layer = HyperColumn(
            ("map",), reference="picture", strides=strides, data_format="channels_last"
        )
        row = ops.convert_to_numpy(layer(maps))[0, 0, :, 0]
        axes.plot(row, style, label=f"strides={strides}")
    axes.set(xlabel="pixel", ylabel="value", xlim=(76, 120))
    axes.legend(frameon=False)
    return figure
