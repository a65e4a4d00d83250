"""What a 1-megapixel JPEG costs, grey or RGB: prediction against reading, joining and writing.

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
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.joining import join
from kh_zoo.pictures.output import Output
from kh_zoo.pictures.picture import Picture

STAGES = ("reading the small copy", "prediction", "joining", "writing", "all, streamed")
REST = "reading, joining and writing"


def stages(colorizer: Colorizer, source: Path, target: Path) -> dict[str, float]:
    """Seconds of each stage for one picture."""
    marks = [time.perf_counter()]
    picture = Picture(source)
    size = working_size(picture.width, picture.height, colorizer.size)
    small = picture.small_lightness(*size)
    marks.append(time.perf_counter())
    ab = colorizer.engine.predict_ab(small)
    marks.append(time.perf_counter())
    lightness, _ = picture.full()
    pixels = join(lightness, small, ab).image.copy_memory()
    marks.append(time.perf_counter())
    Output(target, source).write(pixels)
    marks.append(time.perf_counter())
    colorizer.colorize_file(source, target)
    marks.append(time.perf_counter())
    times = {name: end - start for name, start, end in zip(STAGES, marks, marks[1:], strict=False)}
    return {**times, REST: times[STAGES[0]] + times[STAGES[2]] + times[STAGES[3]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--model", default="lite", help="As for `kh colorize`. Default: lite.")
    parser.add_argument("--size", type=int, help="As for `kh colorize`. Default: the model's.")
    arguments = parser.parse_args()
    colorizer = Colorizer(arguments.model, size=arguments.size)
    measured: dict[str, list[dict[str, float]]] = {"L": [], "RGB": []}
    with tempfile.TemporaryDirectory() as folder:
        for mode in measured:
            photo = Image.fromarray(data.astronaut()).convert(mode).resize((1152, 864), 1)
            photo.save(Path(folder) / f"{mode}.jpg", quality=92)
        for number in range(arguments.rounds + 1):
            for mode, rounds in measured.items():
                times = stages(colorizer, Path(folder) / f"{mode}.jpg", Path(folder) / "out.jpg")
                if number:  # the first one allocates
                    rounds.append(times)

    print(f"pyvips {pyvips.__version__}, 1152 x 864 pixels, predicted at {colorizer.size}\n")
    print("| stage | grey JPEG, ms | RGB JPEG, ms |\n| --- | --- | --- |")
    for name in (*STAGES, REST):
        cells = (statistics.median(times[name] for times in rounds) for rounds in measured.values())
        print(f"| {name} | " + " | ".join(f"{1000 * cell:.0f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
