"""What projection gains: the colorizer with the dense hypercolumn, and with the projected one.

    python benchmarks/projection.py

For each variant and size: a prediction, and a training step with Adam, of one picture. A process
predicts first, then trains. A ratio is that of the dense form over the projected one. Parts of it:

    python benchmarks/projection.py --variants relu1to5 --sizes 224 --steps inference
"""

import measure

STEPS = ("inference", "training")


def work(variant: str, size: int, dense: bool, steps: list[str], seconds: float) -> None:
    import numpy as np

    from keras_hypercolumns import colorizer

    model = colorizer(variant, dense=dense)
    random = np.random.default_rng(0)
    lightness = random.uniform(0, 100, (1, size, size, 1)).astype("float32")
    ab = random.uniform(-50, 50, (1, size, size, 2)).astype("float32")
    if "inference" in steps:
        measure.report("inference", lambda: model.predict_on_batch(lightness), seconds)
    if "training" in steps:
        model.compile("adam", "mse")
        measure.report("training", lambda: model.train_on_batch(lightness, ab), seconds)


def main() -> None:
    parser = measure.shared_parser(__doc__, seconds=2)
    parser.add_argument("--variants", nargs="+", choices=measure.VARIANTS, default=measure.VARIANTS)
    parser.add_argument("--sizes", nargs="+", type=int, default=(224, 512), help="pixels")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    options = parser.parse_args()

    measure.print_conditions(options, ("keras", measure.backend_package()))
    ratios = ("dense", "projected", "ratio")
    measure.print_header(
        "variant", "size", "step", *ratios, *(f"memory, {name}" for name in ratios)
    )
    for size in options.sizes:
        for variant in options.variants:
            common = {"variant": variant, "size": size, "steps": options.steps}
            results = measure.measure(
                {
                    name: {**common, "dense": name == "dense", "seconds": options.seconds}
                    for name in ("dense", "projected")
                },
                options,
            )
            for step in options.steps:
                pair = (results[name].get(step) for name in ("dense", "projected"))
                measure.print_row(variant, size, step, *measure.compared(*pair))


if __name__ == "__main__":
    measure.start(main, work)
