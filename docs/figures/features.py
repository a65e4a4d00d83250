"""What the taps of relu1to5 see in a picture, and what each of them adds to its colours."""

from importlib import resources

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from keras_hypercolumns import lab_to_srgb, pca_picture, srgb_to_lab
from kh_zoo.with_keras.joint_model import load_joint_model

NAMES = ("chelsea.png", "coffee.png")
SIZE = (384, 256)
LIGHTNESS, STRONGER = 65, 3
"""Of the terms, which have colours alone, and pale ones."""


def draw():
    figure, axes = plt.subplots(2 * len(NAMES), 4, figsize=(11, 7.6), layout="compressed")
    model = load_joint_model("relu1to5")
    head = model.heads["relu1to5"]
    for name, places in zip(NAMES, axes.reshape(len(NAMES), 8), strict=True):
        path = str(resources.files("skimage.data").joinpath(name))
        rgb = np.asarray(Image.open(path).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS))
        lab = np.asarray(srgb_to_lab(rgb / 255.0)).astype("float32")
        lightness = lab[None, ..., :1]
        scaled = np.asarray(model.scaling(lightness))
        maps = {**model.trunk(scaled), head.reference: lightness}
        terms = {tap: np.asarray(x)[0] for tap, x in head.terms(maps).items()}
        unit = model.unit("relu1to5")
        ab = unit * (sum(terms.values()) + np.asarray(head.bias))
        [drawn] = pca_picture(model.trunk, scaled, head.taps)
        shown(places[0], np.repeat(lab[..., :1], 3, -1) * [1, 0, 0], "what it sees")
        places[1].imshow(drawn)
        places[1].set_title("principal components")
        shown(places[2], np.concatenate([lab[..., :1], ab], -1), "its colours")
        for place, (tap, term) in zip(places[3:], reversed(terms.items()), strict=True):
            term = STRONGER * unit * (term - term.mean((0, 1)))
            flat = np.full_like(lab[..., :1], LIGHTNESS)
            shown(place, np.concatenate([flat, term], -1), f"what {tap} adds, x {STRONGER}")
    for place in axes.flat:
        place.axis("off")
    return figure


def shown(place, lab, title):
    place.imshow(np.asarray(lab_to_srgb(lab.astype("float32"))).clip(0, 1))
    place.set_title(title)
