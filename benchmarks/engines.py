"""What each engine of `kh colorize` costs, on the bundled model of relu1to5 or on others.

    python benchmarks/engines.py
    python benchmarks/engines.py --engines onnx --models relu1to5 lite

The first prediction is counted from the start of the process: imports and reading the weights are
part of it. Ratios are over the first engine and model.
"""

import measure

from kh_zoo.catalog.find import open_model
from kh_zoo.plugins.registry import plugins


def work(engine: str, model: str, size: int, seconds: float) -> None:
    import numpy as np

    from kh_zoo.engines import create_engine

    lightness = np.random.default_rng(0).uniform(0, 100, (size, size)).astype("float32")
    predict_ab = create_engine(engine, *open_model(model)).predict_ab
    predict_ab(lightness)
    measure.report_time("first prediction", measure.process_age())
    measure.report("prediction", lambda: predict_ab(lightness), seconds)


def main() -> None:
    parser = measure.shared_parser(__doc__, seconds=5)
    engines = list(plugins().engines)
    parser.add_argument("--engines", nargs="+", choices=engines, default=("onnx", "keras"))
    parser.add_argument("--models", nargs="+", default=("relu1to5",))
    parser.add_argument("--sizes", nargs="+", type=int, default=(128, 256), help="pixels")
    options = parser.parse_args()

    measure.print_conditions(options, ("onnxruntime", "keras", measure.backend_package()))
    measure.print_header(
        "engine", "model", "size", "prediction", "ratio", "first prediction", "memory", "ratio"
    )
    cases = [(engine, model) for model in options.models for engine in options.engines]
    for size in options.sizes:
        results = measure.measure(
            {
                case: {
                    "engine": case[0],
                    "model": case[1],
                    "size": size,
                    "seconds": options.seconds,
                }
                for case in cases
            },
            options,
        )
        base = results[cases[0]]["prediction"]
        for case in cases:
            seconds, peak = results[case]["prediction"]
            measure.print_row(
                *case,
                size,
                f"{seconds:.3f} s",
                f"{seconds / base[0]:.2f}",
                f"{results[case]['first prediction'][0]:.1f} s",
                f"{peak / 1e9:.2f} GB",
                f"{peak / base[1]:.1f}",
            )


if __name__ == "__main__":
    measure.start(main, work)
