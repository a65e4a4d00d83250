"""What a 1-megapixel grey JPEG costs: prediction against reading, joining and writing.

The stages take turns; medians.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pyvips
from PIL import Image
from skimage import data

from kh_zoo import Colorizer
from kh_zoo.colorizer import working_size
from kh_zoo.joining import join
from kh_zoo.output import Output
from kh_zoo.picture import Picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, help="As for `kh colorize`. Default: the model's.")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    colorizer = Colorizer("relu1to5", size=arguments.size)
    times: dict[str, list[float]] = {}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.jpg", Path(folder) / "b.jpg"
        photo = Image.fromarray(data.astronaut()).convert("L").resize((1152, 864), 1)
        photo.save(source, quality=92)
        for number in range(rounds + 1):
            marks = [time.perf_counter()]
            picture = Picture(source)
            size = working_size(picture.width, picture.height, colorizer.size)
            small = picture.small_lightness(*size)
            marks.append(time.perf_counter())
            ab = colorizer.engine.predict_ab(small)
            marks.append(time.perf_counter())
            lightness, _ = picture.full("sequential")
            pixels = join(lightness, small, ab).image.copy_memory()
            marks.append(time.perf_counter())
            Output(target, source).write(pixels)
            marks.append(time.perf_counter())
            colorizer.colorize_file(source, target)
            marks.append(time.perf_counter())
            names = ("reading the small copy", "prediction", "joining", "writing", "all, streamed")
            if number:  # the first one allocates
                for name, start, end in zip(names, marks, marks[1:], strict=False):
                    times.setdefault(name, []).append(end - start)

    print(f"pyvips {pyvips.__version__}, {photo.width} x {photo.height}, {size[0]} x {size[1]}\n")
    print("| stage | median, ms |\n| --- | --- |")
    for name, measured in times.items():
        print(f"| {name} | {1000 * statistics.median(measured):.0f} |")
    rest = (statistics.median(times[name]) for name in (names[0], names[2], names[3]))
    print(f"| reading, joining and writing | {1000 * sum(rest):.0f} |")


if __name__ == "__main__":
    main()
