"""Models that are made in a moment."""

import numpy as np
from first_format import first_format

from kh_zoo.networks.model_folder import vgg19_config
from kh_zoo.networks.tensors import write_model_folder

RECIPE = """
seed = 1
variants = ["relu1to3"]
validation_size = 16
head_size = 16
head_pictures = 0
[[stages]]
size = 16
steps = 1
batch = { "." = 1 }
"""
"""Of a training of one step."""


def model_files(folder, seed=0, taps=("relu1_2",)):
    """The files of a small model."""
    generator = np.random.default_rng(seed)
    config = vgg19_config(pooling="average", size=64, heads={"etchings": taps})
    tensors = {
        name: generator.normal(0, 0.02, shape).astype("float32")
        for name, shape in config.tensor_shapes().items()
    }
    write_model_folder(folder, config, tensors)
    first_format(folder, {"etchings": taps}, input="scaled")
    return {path.name: path.read_bytes() for path in folder.iterdir()}
