"""Time and peak memory of colouring grey 16-bit TIFF files of 25, 50 and 100 megapixels."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGAPIXELS = (25, 50, 100)


def make(path: Path, megapixels: int) -> None:
    import pyvips

    width, height = 10_000, megapixels * 100
    waves = pyvips.Image.sines(width, height, hfreq=3, vfreq=2) + pyvips.Image.gaussnoise(
        width, height, sigma=0.05
    )
    gray = ((waves + 1) * 25_000 + 5000).cast("ushort").copy(interpretation="grey16")
    gray.write_to_file(os.fspath(path))


def work(source: str, target: str) -> None:
    from kh_zoo import Colorizer

    colorizer = Colorizer()
    started = time.perf_counter()
    colorizer.colorize_file(source, target)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(f"{seconds:.1f} {peak / 1e6:.0f}")


def main() -> None:
    print("| megapixels | seconds | seconds a megapixel | peak memory, MB |")
    print("| --- | --- | --- | --- |")
    for megapixels in MEGAPIXELS:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "a.tif", Path(folder) / "b.tif"
            # In a process of its own: a child's peak begins with its parent's.
            script = [sys.executable, __file__]
            subprocess.run([*script, "make", source, str(megapixels)], check=True)
            done = subprocess.run(
                [*script, "work", source, target], check=True, capture_output=True, text=True
            )
            seconds, peak = map(float, done.stdout.split())
        print(f"| {megapixels} | {seconds:.1f} | {seconds / megapixels:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["work"]:
        work(sys.argv[2], sys.argv[3])
    else:
        main()
