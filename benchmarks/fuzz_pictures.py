"""Fuzz the reading and joining of pictures, guided by coverage of our own code.

    pip install atheris pillow-heif
    python benchmarks/fuzz_pictures.py --seconds 600 --corpus corpus/

Seeds of every format are made in the corpus folder, unless it holds some; those of HEIC need
pillow-heif. An input that raises anything but `PictureError` (a warning counts) is a finding: it is
written to `finding-*` in the folder it is started in, once for each place, and the fuzzing goes on.
One that takes more than ten seconds or kills the process ends it, in `timeout-*` or `crash-*`.
Coverage is that of the Python modules that read pictures; libvips and
Pillow's decoders are black boxes.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris
import numpy as np
from findings import note
from PIL import Image

with atheris.instrument_imports(
    include=[
        "kh_zoo.pictures.picture",
        "kh_zoo.pictures.pillow_reader",
        "kh_zoo.pictures.metadata",
        "kh_zoo.pictures.joining",
    ]
):
    from kh_zoo.colorizer import Colorizer
    from kh_zoo.errors import PictureError

import kh_zoo.pictures.picture

# Large pictures take time honestly: here a bomb is what would take more than a second.
kh_zoo.pictures.picture.MAX_PIXELS = 1_000_000


class _Gray:
    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        return np.zeros((*lightness.shape, 2), np.float32)


_COLORIZER = Colorizer(_Gray(), size=16)
_FILE = Path(tempfile.mkdtemp()) / "picture"


warnings.simplefilter("error")


def check(content: bytes) -> None:
    """Read and join one input."""
    _FILE.write_bytes(content)
    try:
        _COLORIZER.colorize(_FILE)
    except PictureError:
        pass
    except Exception as error:
        note(error, content)


def seed(folder: Path) -> None:
    """Write small pictures of every kind."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    image = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Ada"
    kinds = {
        "jpg": [("RGB", {"exif": exif}), ("L", {"progressive": True}), ("CMYK", {})],
        "png": [("RGB", {"exif": exif}), ("1", {}), ("P", {}), ("LA", {}), ("I;16", {})],
        "tif": [("RGB", {"compression": "tiff_lzw"}), ("1", {"compression": "group4"})],
        "webp": [("RGB", {}), ("RGBA", {"lossless": True})],
        "avif": [("RGB", {})],
        "gif": [("P", {})],
        "bmp": [("RGB", {}), ("1", {}), ("P", {})],
        "jp2": [("RGB", {}), ("LA", {}), ("I;16", {})],
    }
    kinds["tif"] += [("F", {}), ("I", {}), ("CMYK", {}), ("YCbCr", {}), ("LAB", {}), ("P", {})]
    kinds["tif"] += [("RGB", {"exif": exif})]
    for suffix, variants in kinds.items():
        for number, (mode, options) in enumerate(variants):
            if mode == "LAB":
                made = Image.frombytes("LAB", image.size, rgb.tobytes())
            elif mode == "I;16":
                made = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
            else:
                made = image.convert(mode)
            made.save(folder / f"seed-{number}.{suffix}", **options)
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.from_pillow(image).save(folder / "seed-0.heic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    arguments = parser.parse_args()
    if not arguments.corpus.is_dir() or not any(arguments.corpus.iterdir()):
        seed(arguments.corpus)
    options = [f"-max_total_time={arguments.seconds}", "-timeout=10", "-max_len=20000"]
    # atheris itself grows by 60 kB an input, which the same inputs without it don't.
    options += ["-rss_limit_mb=8192", "-print_final_stats=1", os.fspath(arguments.corpus)]
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
