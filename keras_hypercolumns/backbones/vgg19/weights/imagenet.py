"""The weights that Keras Applications publishes, which were trained on ImageNet."""

from pathlib import Path
from typing import Any

import keras

# Those of keras.applications.VGG19(weights="imagenet", include_top=False).
FILE_NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{FILE_NAME}"
MD5 = "253f8cb515780f3b799900260a226db6"


def imagenet_file() -> Path:
    """Return the path of the file in Keras's cache; download it if it isn't there, whole.

    Raises:
        OSError: If it can't be downloaded, or what came is another file.
    """
    try:
        return Path(_get_file(file_hash=MD5))
    except Exception as error:
        if isinstance(error, ValueError):
            # A wrong hash. Keras leaves the file; where, it says when it is asked for no hash.
            Path(_get_file()).unlink(missing_ok=True)
        raise OSError(
            f"`weights` can't be downloaded from {URL} ({error}). Download the file by other "
            "means and give its path. Received: 'imagenet'"
        ) from error


def _get_file(**kwargs: Any) -> Any:
    return keras.utils.get_file(FILE_NAME, URL, cache_subdir="models", **kwargs)
