"""A batch shared out over all devices, where there are several."""

import contextlib
from collections.abc import Iterator

import keras

from keras_hypercolumns.training.recipe import Recipe


@contextlib.contextmanager
def data_parallel(recipe: Recipe) -> Iterator[int]:
    """Build and train inside of this: on several accelerators each has a copy of the network.

    A step is that of the whole batch, statistics of the normalisations included: how many devices
    there are changes nothing but the time. Keras does this with JAX alone; on other backends, and
    on one device, nothing is changed. Yields the number of devices.

    Args:
        recipe: The `Recipe`, whose batches have to be divisible by the number of devices.

    Raises:
        ValueError: If a batch is not.
    """
    devices = keras.distribution.list_devices() if keras.backend.backend() == "jax" else []
    if len(devices) < 2:
        yield 1
        return
    for stage in recipe.stages:
        pictures = sum(stage.batch.values())
        if pictures % len(devices):
            raise ValueError(
                f"`batch` of the recipe should have a multiple of {len(devices)} pictures, one "
                f"part for each device. Received: {pictures}"
            )
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    try:
        yield len(devices)
    finally:
        keras.distribution.set_distribution(before)
