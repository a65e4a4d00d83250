"""What a run of `kh colorize` adds to its parts: reading, prediction, joining and writing.

The parts are measured apart, one after the other, in one process that has all cores. The run is
that of `kh`, from its start to its end, over the number of pictures.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from skimage import data

from kh_zoo import Colorizer
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.joining import join
from kh_zoo.pictures.output import Output
from kh_zoo.pictures.picture import Picture

KH = Path(sys.executable).with_name("kh")
PARTS = ("reading", "prediction", "joining", "writing")


def parts(colorizer: Colorizer, source: Path, target: Path) -> list[float]:
    """Seconds of each part for one picture; what is read twice is read twice."""
    marks = [time.perf_counter()]
    picture = Picture(source)
    small = picture.small_lightness(*working_size(picture.width, picture.height, colorizer.size))
    lightness = picture.full()[0].copy_memory()
    marks.append(time.perf_counter())
    ab = colorizer.engine.predict_ab(small)
    marks.append(time.perf_counter())
    rgb = join(lightness, small, ab).image.copy_memory()
    marks.append(time.perf_counter())
    Output(target, source).write(rgb)
    marks.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(marks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    colorizer = Colorizer("relu1to5")
    found: list[list[float]] = []
    runs: dict[str, list[float]] = {"1": [], "": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "scans")
        folder.mkdir()
        photo = Image.fromarray(data.astronaut()).convert("L").resize((1152, 864), 1)
        for number in range(arguments.pictures):
            photo.save(folder / f"{number:03}.jpg", quality=92)
        parts(colorizer, folder / "000.jpg", Path(place, "one.jpg"))  # the first one allocates
        for _ in range(arguments.rounds):
            for source in sorted(folder.iterdir()):
                found.append(parts(colorizer, source, Path(place, "one.jpg")))
            for jobs, seconds in runs.items():
                option = ["--jobs", jobs] if jobs else []
                started = time.perf_counter()
                subprocess.run(
                    [KH, "colorize", folder, "-o", Path(place, "out"), "--overwrite", *option],
                    check=True,
                    capture_output=True,
                )
                seconds.append((time.perf_counter() - started) / arguments.pictures)
    print(f"{arguments.pictures} grey JPEG files of {photo.width} x {photo.height}\n")
    print("| | ms a picture | of the sum |\n| --- | --- | --- |")
    medians = [statistics.median(column) for column in zip(*found, strict=True)]
    total = sum(medians)
    for name, seconds in zip(PARTS, medians, strict=True):
        print(f"| {name} | {1000 * seconds:.0f} | {seconds / total:.0%} |")
    print(f"| sum | {1000 * total:.0f} | |")
    for jobs, values in runs.items():
        seconds = statistics.median(values)
        name = f"the run, `--jobs {jobs}`" if jobs else "the run, by default"
        print(f"| {name} | {1000 * seconds:.0f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    main()
