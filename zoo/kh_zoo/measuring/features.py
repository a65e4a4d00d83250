"""What a model sees in a picture: the principal components of its hypercolumns, as colours."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyvips

from keras_hypercolumns import feature_info, pca_picture
from kh_zoo.catalog.find import find, open_source, pull_source
from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.networks.model_folder import CONFIG, KERAS, read_table
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.output import Output
from kh_zoo.pictures.picture import Picture
from kh_zoo.with_keras.keras_model import load_model


def draw_features(
    picture: str | os.PathLike[str],
    output: str | os.PathLike[str],
    model: str | os.PathLike[str] = DEFAULT_VARIANT,
    *,
    taps: Sequence[str] = (),
    size: int = 512,
) -> dict[str, tuple[int, int | tuple[int, int]]]:
    """Draw what a model sees in a picture, as `keras_hypercolumns.pca_picture` does.

    Example:

    >>> from kh_zoo.measuring.features import draw_features
    >>> draw_features("examples/coffee.jpg", "features.png", "pool1to4", size=64)
    {'pool1': (64, 2), 'pool2': (128, 4), 'pool3': (256, 8), 'pool4': (512, 16)}

    Args:
        picture: Path of a picture.
        output: Path of what is written: an image of the size that the network saw.
        model: As for `load_model`.
        taps: Names of feature maps. Defaults to those that the model's head sees.
        size: Short side that the network sees the picture at, in pixels.

    Returns:
        The channels and the stride of every tap, by its name.

    Raises:
        VariantError, ModelError, HubError: As of `load_model`.
        PictureError, OutputError: The picture can't be read, or the image can't be written.
        ValueError: There is no such tap, or it is not known which the model's are.
    """
    target = Output(output, source=picture)
    source = Picture(picture)
    lightness = source.small_lightness(*working_size(source.width, source.height, size))
    taps = tuple(taps) or _taps_of_head(model)
    network = load_model(model)
    drawn = pca_picture(network, lightness[None, ..., None], taps)[0]
    target.write(pyvips.Image.new_from_array(drawn, interpretation="srgb"))
    infos = feature_info(network, taps)
    return {tap: (info.channels or 0, info.stride) for tap, info in infos.items()}


def _taps_of_head(model: str | os.PathLike[str]) -> tuple[str, ...]:
    source = pull_source(find(model))
    table = read_table(Path(source.folder or "") / CONFIG)
    if table["architecture"] == KERAS:
        raise ValueError(
            "`taps` should name feature maps of a Keras model, which doesn't say what its head "
            "sees: `keras_hypercolumns.feature_info(model)` lists them. Received: ()"
        )
    folder, head = open_source(source, table)
    return tuple(folder.config.heads[head])
