"""What colouring a JPEG costs, over what libvips needs to read it and to write it again.

Both take turns in one process, on one core; medians of processor time, which other programs disturb
less than the clock.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before libvips is loaded.
os.environ["VIPS_CONCURRENCY"] = "1"

import numpy as np
import pyvips
from PIL import Image
from skimage import data

from kh_zoo import Colorizer

SIZES = {"1": (1152, 864), "12": (4000, 3000)}
QUALITY = 92
GRAIN = 4.0
"""Standard deviation of the grain of a scan, in levels."""


def scan(mode: str, size: tuple[int, int]) -> Image.Image:
    """A photograph of a size, grey (`"L"`) or `"RGB"`, with grain."""
    pixels = np.asarray(Image.fromarray(data.astronaut()).convert(mode).resize(size, 1), np.float32)
    grain = np.random.default_rng(0).normal(0, GRAIN, pixels.shape)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))


def seconds(call: Callable[[], object]) -> float:
    """Processor time of a call, of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["lite", "relu1to5"])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    colorizers = {name: Colorizer(name) for name in arguments.models}
    print(f"libvips {pyvips.version(0)}.{pyvips.version(1)}.{pyvips.version(2)}\n")
    print("| megapixels | kind | read and write | " + " | ".join(colorizers) + " |")
    print("| --- | --- | --- |" + " --- |" * len(colorizers))
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place, "scan.jpg"), Path(place, "out.jpg")

        def copy() -> None:
            image = pyvips.Image.new_from_file(str(source), access="sequential")
            image.jpegsave(str(target), Q=QUALITY)

        for megapixels, size in SIZES.items():
            for mode in ("L", "RGB"):
                scan(mode, size).save(source, quality=QUALITY)
                copied: list[float] = []
                colored: dict[str, list[float]] = {name: [] for name in colorizers}
                for number in range(arguments.rounds + 1):
                    times = [seconds(copy)]
                    for colorizer in colorizers.values():
                        times.append(seconds(lambda c=colorizer: c.colorize_file(source, target)))
                    if number:  # the first one allocates
                        for one, values in zip(times, (copied, *colored.values()), strict=True):
                            values.append(one)
                limit = statistics.median(copied)
                cells = [f"{1000 * limit:.0f} ms"]
                for values in colored.values():
                    ratios = [one / base for one, base in zip(values, copied, strict=True)]
                    middle = 1000 * statistics.median(values)
                    cells.append(
                        f"{middle:.0f} ms, {statistics.median(ratios):.1f}"
                        f" ({min(ratios):.1f} to {max(ratios):.1f})"
                    )
                print(f"| {megapixels} | {mode} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
