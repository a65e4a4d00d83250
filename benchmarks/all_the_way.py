"""Backbones of Keras and keras-hub, from a training to a coloured picture, as a table.

On each a colorizer is built (a hidden head on its last maps of strides 4, 8 and 16), compiled,
trained for two steps, saved, loaded, published to a Hub on loopback, pulled by another process
that colours a picture with `kh colorize`, and whose colours are held against Keras's. Weights are
random. Needs TensorFlow, keras-hub for its backbones, and this checkout for its server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "examples" / "chelsea.jpg"
STRIDES = (4, 8, 16)
OWNER = "museum"
COLUMNS = (
    *("backbone", "strides", "parameters", "loss", "written as", "AB up to", "loaded"),
    *("coloured", "pulled", "coloured by"),
)
ALONE = """
import sys
import numpy as np
from kh_zoo import Colorizer
colorizer = Colorizer(sys.argv[1])
np.save(sys.argv[3], colorizer.engine.predict_ab(np.load(sys.argv[2])))
print("keras" in sys.modules)
"""


def main():
    """Start the server, and a process for each backbone, which prints its row."""
    sys.path.insert(0, str(ROOT / "tests"))
    from backbones import APPLICATIONS, HUB
    from hub_server import HubServer

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=(), help="names of some")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, work = arguments.one
        print(row(name, Path(work)))
        return
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- " * len(COLUMNS) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder, HubServer(Path(folder) / "hub") as server:
        variables = server.variables(folder) | {
            "HF_TOKEN": server.token_of("ada"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        for name in arguments.only or (*APPLICATIONS, *HUB):
            started = time.monotonic()
            work = Path(folder) / name
            work.mkdir()
            command = [sys.executable, __file__, "--one", name, work]
            done = subprocess.run(
                command, env=os.environ | variables, capture_output=True, text=True, check=False
            )
            said = [
                line for line in done.stderr.splitlines() if "Error: " in line or "kh: " in line
            ]
            refused = f"| {name} | refused: {' '.join(said[-1:])} {'| ' * (len(COLUMNS) - 1)}"
            print(done.stdout.strip() or refused, flush=True)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def row(name, work):
    """A line of the table."""
    import keras
    import numpy as np
    from backbones import build

    from kh_zoo import load_model, publish, save_model

    random = np.random.default_rng(0)
    backbone = build(name, (None, None))
    model, strides, size = colorizer_of(backbone)
    lightness = random.uniform(0, 100, (2, *size, 1)).astype("float32")
    colors = random.normal(0, 20, (2, *size, 2)).astype("float32")
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    losses = [model.train_on_batch(lightness, colors) for _ in range(3)]
    expected = model.predict_on_batch(lightness[:1])[0]

    save_model(model, work / "saved", size=min(size))
    loaded = load_model(work / "saved").predict_on_batch(lightness[:1])[0]
    config = json.loads((work / "saved" / "config.json").read_text())
    network = config.get("architecture") == "network"

    repository = f"{OWNER}/{name}"
    publish(work / "saved", repository, license="MIT")
    np.save(work / "in.npy", lightness[0, ..., 0])
    errors = []
    for source in (work / "saved", repository):
        alone = [sys.executable, "-c", ALONE, source, work / "in.npy", work / "out.npy"]
        with_keras = run(alone).strip() == "True"
        errors.append(f"{np.abs(np.load(work / 'out.npy') - expected).max():.0e}")
    kh = [Path(sys.executable).parent / "kh", "colorize", PICTURE, "-m", repository]
    run([*kh, "-o", work / "out.jpg", "--quiet"])
    assert (work / "out.jpg").stat().st_size
    cells = (
        name,
        ", ".join(map(str, strides)),
        f"{backbone.count_params() / 1e6:.1f} M",
        f"{losses[0]:.5g}, {losses[-1]:.5g}",
        "network" if network else "Keras's own",
        f"{np.abs(expected).max():.2g}",
        f"{np.abs(loaded - expected).max():.0e}",
        *errors,
        "Keras" if with_keras else "ONNX Runtime",
    )
    return "| " + " | ".join(cells) + " |"


def colorizer_of(backbone):
    """A colorizer on a backbone, the strides of its taps, and the size that it is trained at."""
    from backbones import strides_of
    from keras import Input, Model, layers

    from keras_hypercolumns import HyperColumnProjection, colorizer, pick_taps
    from keras_hypercolumns.graphs.token_grids import token_grids

    fixed = backbone.input_shape[1:3]
    size = (fixed[0] or 224, fixed[1] or 224)
    strides = strides_of(backbone, STRIDES)
    extractor, settings = pick_taps(backbone, strides=strides)
    layers_of = {layer.name for layer in backbone.layers}
    if not token_grids(backbone) and layers_of.issuperset(settings["taps"]):
        return colorizer(settings["taps"], trunk=backbone, head="hidden"), strides, size
    # What pick_taps names itself, such as maps of tokens, are no layers of it.
    lightness = Input((*fixed, 1))
    maps = extractor(layers.Concatenate()([lightness] * 3))
    settings["reference"] = "lightness"
    ab = HyperColumnProjection(2, **settings)({**maps, "lightness": lightness})
    return Model(lightness, ab), strides, size


def run(command):
    """What a program prints; what it complains of where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name}: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout


if __name__ == "__main__":
    main()
