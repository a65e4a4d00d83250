"""Make the bundle that ships with the package, from a run: `make_bundle.py RUN --data DIR`.

Writes the int8 weights, the records of the catalogue with the figures of the test split, and the
card, to `zoo/kh_zoo/bundle/`.
"""

import argparse
import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np

from kh_zoo.catalog import BUNDLE
from kh_zoo.color import srgb_to_lab
from kh_zoo.engines import create_engine
from kh_zoo.evaluate import evaluate, join, load_square, psnr
from kh_zoo.export import export_run
from kh_zoo.model_folder import CONFIG, TENSORS, Tap, open_model_folder
from kh_zoo.split import list_pictures

HERE = Path(__file__).parent
QUANTIZATION_PICTURES = 60
VIVID_NOTE = """A head that ends in `-vivid` is that of `kh colorize --vivid`: it scores 313
colours, rare ones counting more, and takes a mean that leans to the likelier ones (Zhang et al.
2016), where the others answer with the mean that errs least. It was fitted by logistic regression
on the same trunk. Its colours are nearly as strong as the truth; more of
them are wrong, so it is behind in PSNR.

"""


def main():
    """Make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    export_run(arguments.run, BUNDLE, "int8")
    rows = evaluate(BUNDLE, arguments.data)
    differences = quantization(arguments.run / "model", arguments.data)
    write_records(rows, differences)
    write_card(rows, differences)
    for name in ("curves.jsonl", "recipe.json"):
        shutil.copy(arguments.run / name, BUNDLE / name)


def quantization(model, data):
    """What int8 changes, on pictures of the test split: by variant, RMS of AB and loss of PSNR."""
    precise, bundled = open_model_folder(model), open_model_folder(BUNDLE)
    names = list_pictures(data, "test")
    names = names[:: max(1, len(names) // QUANTIZATION_PICTURES)]
    squares = [load_square(data / name, bundled.config.size) for name in names]
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


def write_records(rows, differences):
    """Write what the catalogue says of each variant."""
    generation = json.loads((HERE / "generation.json").read_text(encoding="utf-8"))
    descriptions = generation.pop("descriptions")
    # What `kh publish --all` has printed, once this generation is published.
    hub = generation.pop("hub", {})
    folder = open_model_folder(BUNDLE)
    files = {
        name: {
            "sha256": hashlib.sha256((BUNDLE / name).read_bytes()).hexdigest(),
            "bytes": (BUNDLE / name).stat().st_size,
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
            "channels": sum(Tap(tap).channels for tap in taps),
            "parameters": folder.parameters(name),
            "int8_rms_ab": round(differences[name][0], 4),
            "metrics": metrics_of(rows, name),
            **({"vivid": True, "vivid_metrics": metrics_of(rows, vivid)} if vivid else {}),
            **hub.get(name, {}),
        }
    text = json.dumps({"generation": shared, "variants": variants}, indent=2)
    (BUNDLE / "records.json").write_text(text + "\n", encoding="utf-8")


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


def write_card(rows, differences):
    """Fill the figures into the card."""
    lines = [
        "| variant | pictures | PSNR | gray | mean colour | RMSE AB | gray | mean colour "
        "| explained variance | colourfulness | truth |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| `{row['variant']}` | {row['pictures']} {row['folder']} | **{row['psnr']:.2f}** "
            f"| {row['psnr_gray']:.2f} | {row['psnr_mean']:.2f} | **{row['rmse_ab']:.2f}** "
            f"| {row['rmse_ab_gray']:.2f} | {row['rmse_ab_mean']:.2f} "
            f"| {row['explained_variance']:.3f} | {row['colorfulness']:.1f} "
            f"| {row['colorfulness_truth']:.1f} |"
        )
    quantized = [
        "| variant | RMS difference of AB | loss of PSNR, dB |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {rms:.2f} | {loss:+.3f} |" for name, (rms, loss) in differences.items()),
    ]
    card = (HERE / "card.md").read_text(encoding="utf-8")
    card = card.replace("{{figures}}", "\n".join(lines))
    vivid = open_model_folder(BUNDLE).config.vivid
    card = card.replace("{{vivid}}", VIVID_NOTE if vivid else "")
    card = card.replace("{{quantization}}", "\n".join(quantized))
    (BUNDLE / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
