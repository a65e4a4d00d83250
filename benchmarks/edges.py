"""How much closer to the truth guided upsampling puts colour along edges than bilinear does.

    python benchmarks/edges.py DIR

The true A and B of each picture, reduced to the working size, stand for the prediction. The error
is the root mean square distance in A and B over the pixels within 2 of an edge: a Canny edge
(sigma 2) of L with a gradient of 20, or of A or B with one of 10. Needs scikit-image.
"""

import sys
from pathlib import Path

import numpy as np
import pyvips
from scipy.ndimage import binary_dilation
from skimage.color import rgb2lab
from skimage.feature import canny
from skimage.transform import resize

from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.networks.working_size import working_size


def edge_band(lab: np.ndarray) -> np.ndarray:
    edges = [canny(lab[..., 0], sigma=2, low_threshold=10, high_threshold=20)]
    edges += [canny(lab[..., i], sigma=2, low_threshold=5, high_threshold=10) for i in (1, 2)]
    return binary_dilation(np.any(edges, axis=0), iterations=2)


def ratio(lab: np.ndarray, size: int) -> float:
    """Error of guided upsampling over that of bilinear, from a short side of `size`."""
    full = pyvips.Image.new_from_array(lab.astype(np.float32))
    width, height = working_size(full.width, full.height, size)
    small = full.resize(width / full.width, vscale=height / full.height)
    pixels = small.numpy()
    bilinear = resize(pixels[..., 1:], lab[..., 1:].shape, order=1, mode="edge")
    upsampling = GuidedUpsampling(pixels[..., 0], pixels[..., 1:], full.width, full.height)
    guided = np.moveaxis(upsampling.rows(0, lab[..., 0].astype(np.float32)), 0, -1)
    band = edge_band(lab)
    errors = [
        np.sqrt(np.mean(np.sum((ab - lab[..., 1:]) ** 2, axis=-1)[band]))
        for ab in (guided, bilinear)
    ]
    return errors[0] / errors[1]


def main() -> None:
    paths = sorted(Path(sys.argv[1]).glob("*.png"))
    labs = [rgb2lab(pyvips.Image.new_from_file(str(path))[:3].numpy()) for path in paths]
    for size in (128, 256):
        ratios = [ratio(lab, size) for lab in labs]
        for path, value in zip(paths, ratios, strict=True):
            print(f"{size:4} {path.name:20} {value:.3f}")
        print(f"{size:4} {'mean':20} {np.mean(ratios):.3f}")


if __name__ == "__main__":
    main()
