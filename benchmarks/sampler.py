"""What sampling gains in training: hypercolumns of some points, against those of every pixel.

    python benchmarks/sampler.py

A training step with Adam, of VGG-19 and a linear head, on one picture with a loss at some of its
pixels. The dense form builds the hypercolumn of the picture and takes the pixels out of it; the
other takes them from the feature maps. A ratio is that of the dense form over the sampled one.
"""

import measure


def work(variant: str, size: int, points: int, sampled: bool, seconds: float) -> None:
    import keras
    import numpy as np
    from keras import ops

    from keras_hypercolumns import VARIANTS, HyperColumn, HyperColumnSampler, vgg19_gray

    class Pick(keras.layers.Layer):
        """Takes pixels (y, x) out of a picture that is alone in its batch."""

        def call(self, column, pixels):
            channels = column.shape[-1]
            index = ops.cast(pixels[..., 0] * size + pixels[..., 1], "int32")
            return ops.take(ops.reshape(column, (-1, channels)), index, axis=0)

    taps = VARIANTS[variant]
    picture = keras.Input((size, size, 1))
    pixels = keras.Input((points, 2))
    maps = {**vgg19_gray(taps, data_format="channels_last")(picture), "picture": picture}
    settings = {"reference": "picture", "data_format": "channels_last"}
    if sampled:
        columns = HyperColumnSampler(taps, **settings)((maps, pixels))
    else:
        columns = Pick()(HyperColumn(taps, **settings)(maps), pixels)
    model = keras.Model((picture, pixels), keras.layers.Dense(2)(columns))
    model.compile("adam", "mse")
    random = np.random.default_rng(0)
    inputs = (
        random.uniform(-1, 1, (1, size, size, 1)).astype("float32"),
        random.integers(0, size, (1, points, 2)).astype("float32"),
    )
    targets = random.uniform(-1, 1, (1, points, 2)).astype("float32")
    measure.report("training", lambda: model.train_on_batch(inputs, targets), seconds)


def main() -> None:
    parser = measure.shared_parser(__doc__, seconds=5)
    parser.add_argument(
        "--variants", nargs="+", choices=measure.VARIANTS, default=("full", "relu1to5")
    )
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--points", type=int, default=1024)
    options = parser.parse_args()

    measure.print_conditions(options, ("keras", measure.backend_package()))
    ratios = ("dense", "sampled", "ratio")
    measure.print_header(
        "variant", "size", "points", *ratios, *(f"memory, {name}" for name in ratios)
    )
    for variant in options.variants:
        common = {"variant": variant, "size": options.size, "points": options.points}
        results = measure.measure(
            {
                name: {**common, "sampled": name == "sampled", "seconds": options.seconds}
                for name in ("dense", "sampled")
            },
            options,
        )
        pair = (results[name].get("training") for name in ("dense", "sampled"))
        cells = measure.compared(*pair)
        measure.print_row(variant, options.size, options.points, *cells)


if __name__ == "__main__":
    measure.start(main, work)
