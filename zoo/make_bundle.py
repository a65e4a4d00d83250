"""Make a bundle that ships with the package: `make_bundle.py NAME RUN --data DIR`.

NAME is that of a folder in `zoo/generations/`, with the card and what the catalogue says. Writes
the int8 weights, the records of the catalogue with the figures of the test split, and the card, to
`zoo/kh_zoo/bundles/NAME/`.
"""

import argparse
import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np

from kh_zoo.catalog.export import export_model
from kh_zoo.catalog.records import BUNDLES
from kh_zoo.colors.lab import srgb_to_lab
from kh_zoo.engines import create_engine
from kh_zoo.hub.card import figures
from kh_zoo.measuring.evaluate import evaluate, join, load_rgb, psnr
from kh_zoo.measuring.split import list_pictures
from kh_zoo.networks.model_folder import CONFIG, TENSORS, open_model_folder

GENERATIONS = Path(__file__).parent / "generations"
QUANTIZATION_PICTURES = 60
MEASURED_SIZE = 128
"""Short side of the test pictures: none of them has many more pixels."""


def main():
    """Make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(path.name for path in GENERATIONS.iterdir()))
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    bundle, generation = BUNDLES / arguments.name, GENERATIONS / arguments.name
    export_model(arguments.run, bundle, "int8")
    rows = evaluate(bundle, arguments.data, size=MEASURED_SIZE)
    differences = quantization(arguments.run / "model", bundle, arguments.data)
    write_records(generation, bundle, rows, differences)
    write_card(generation, bundle, rows, differences)
    for name in ("curves.jsonl", "recipe.json"):
        shutil.copy(arguments.run / name, bundle / name)


def quantization(model, bundle, data):
    """What int8 changes, on pictures of the test split: by variant, RMS of AB and loss of PSNR."""
    precise, bundled = open_model_folder(model), open_model_folder(bundle)
    names = list_pictures(data, "test")
    names = names[:: max(1, len(names) // QUANTIZATION_PICTURES)]
    squares = [load_rgb(data / name, MEASURED_SIZE) for name in names]
    found = {}
    for head in bundled.config.heads:
        engines = [create_engine("onnx", folder, head) for folder in (precise, bundled)]
        differences, losses = [], []
        for rgb in squares:
            lightness = srgb_to_lab(rgb / 255)[..., :1]
            one, other = (engine.predict_ab(lightness[..., 0]) for engine in engines)
            differences.append(np.mean((one - other) ** 2))
            losses.append(psnr(rgb, join(lightness, one)) - psnr(rgb, join(lightness, other)))
        found[head] = (math.sqrt(float(np.mean(differences))), float(np.mean(losses)))
    return found


def write_records(path, bundle, rows, differences):
    """Write what the catalogue says of each variant."""
    generation = json.loads((path / "generation.json").read_text(encoding="utf-8"))
    descriptions = generation.pop("descriptions")
    # What `kh publish --all` has printed, once this generation is published.
    hub = generation.pop("hub", {})
    folder = open_model_folder(bundle)
    files = {
        name: {
            "sha256": hashlib.sha256((bundle / name).read_bytes()).hexdigest(),
            "bytes": (bundle / name).stat().st_size,
        }
        for name in (CONFIG, TENSORS)
    }
    shared = {
        **generation,
        "size": folder.config.size,
        "files": files,
        "bytes": sum(file["bytes"] for file in files.values()),
    }
    variants = {}
    for name in descriptions:
        taps = folder.config.heads[name]
        vivid = folder.config.vivid_head(name)
        variants[name] = {
            "description": descriptions[name],
            "taps": taps,
            "channels": sum(folder.config.tap_channels(name).values()),
            "parameters": folder.parameters(name),
            "int8_rms_ab": round(differences[name][0], 4),
            "metrics": metrics_of(rows, name),
            **({"vivid": True, "vivid_metrics": metrics_of(rows, vivid)} if vivid else {}),
            **hub.get(name, {}),
        }
    text = json.dumps({"generation": shared, "variants": variants}, indent=2)
    (bundle / "records.json").write_text(text + "\n", encoding="utf-8")


def metrics_of(rows, head):
    """The figures of one head, by kind of picture."""
    return {
        row["folder"]: {
            key: round(value, 4)
            for key, value in row.items()
            if isinstance(value, (int, float)) and key != "size"
        }
        for row in rows
        if row["variant"] == head
    }


def write_card(path, bundle, rows, differences):
    """Fill the figures into the card."""
    lines = figures(
        ("variant", "pictures"),
        [((f"`{row['variant']}`", f"{row['pictures']} {row['folder']}"), row) for row in rows],
    )
    quantized = [
        "| variant | RMS difference of AB | loss of PSNR, dB |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {rms:.2f} | {loss:+.3f} |" for name, (rms, loss) in differences.items()),
    ]
    card = (path / "card.md").read_text(encoding="utf-8")
    card = card.replace("{{figures}}", "\n".join(lines))
    card = card.replace("{{quantization}}", "\n".join(quantized))
    (bundle / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
