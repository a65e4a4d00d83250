"""Eight pictures that other packages ship, through each variant: grey, four predictions, truth."""

import tempfile
from importlib import resources
from pathlib import Path

from matplotlib import pyplot as plt

from kh_zoo.colorizer import Colorizer
from kh_zoo.measuring.comparison import compare

SHIPPED = {
    "skimage.data": (
        *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg"),
        *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
    ),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
VARIANTS = ("full", "relu1to5", "relu3to5", "pool1to4")
DOTS = 100


def draw():
    files = {
        file: Path(str(resources.files(package).joinpath(file)))
        for package, names in SHIPPED.items()
        for file in names
    }
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        compare({name: Colorizer(name) for name in VARIANTS}, files.items(), sheet)
        pixels = plt.imread(sheet)
    height, width, _ = pixels.shape
    figure = plt.figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels)
    axes.axis("off")
    return figure
