"""What each engine of `kh colorize` costs, on the bundled model of relu1to5.

    python benchmarks/engines.py

The first prediction is counted from the start of the process: imports and reading the weights are
part of it. Ratios are over the first engine.
"""

import measure

from kh_zoo.catalog.find import open_model
from kh_zoo.plugins.registry import plugins


def work(engine: str, size: int, seconds: float) -> None:
    import numpy as np

    from kh_zoo.engines import create_engine

    lightness = np.random.default_rng(0).uniform(0, 100, (size, size)).astype("float32")
    predict_ab = create_engine(engine, *open_model("relu1to5")).predict_ab
    predict_ab(lightness)
    measure.report_time("first prediction", measure.process_age())
    measure.report("prediction", lambda: predict_ab(lightness), seconds)


def main() -> None:
    parser = measure.shared_parser(__doc__, seconds=5)
    engines = list(plugins().engines)
    parser.add_argument("--engines", nargs="+", choices=engines, default=("onnx", "keras"))
    parser.add_argument("--sizes", nargs="+", type=int, default=(128, 256), help="pixels")
    options = parser.parse_args()

    measure.print_conditions(options, ("onnxruntime", "keras", measure.backend_package()))
    measure.print_header(
        "engine", "size", "prediction", "ratio", "first prediction", "memory", "ratio"
    )
    for size in options.sizes:
        results = measure.measure(
            {
                engine: {"engine": engine, "size": size, "seconds": options.seconds}
                for engine in options.engines
            },
            options,
        )
        base = results[options.engines[0]]["prediction"]
        for engine in options.engines:
            seconds, peak = results[engine]["prediction"]
            measure.print_row(
                engine,
                size,
                f"{seconds:.3f} s",
                f"{seconds / base[0]:.2f}",
                f"{results[engine]['first prediction'][0]:.1f} s",
                f"{peak / 1e9:.2f} GB",
                f"{peak / base[1]:.1f}",
            )


if __name__ == "__main__":
    measure.start(main, work)
