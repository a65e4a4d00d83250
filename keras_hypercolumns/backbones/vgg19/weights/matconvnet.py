"""Reading of MatConvNet's SimpleNN files, such as imagenet-vgg-verydeep-19.mat."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np


def read_matconvnet(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return kernel and bias of each convolution, by its name.

    The kernels are height x width x channels in x channels out, as Keras has them: nothing is
    transposed. This rests on three things: MatConvNet's manual (section 4.1: y_ij sums
    f_i'j' x_{i+i'-1,j+j'-1} over arrays of height x width); its importer, utils/import-caffe.py,
    which brings the width-first arrays of Caffe into that order; and the values of conv1_1, which
    are the same, place by place, in this file and in that of Keras Applications. The help of
    vl_nnconv says "FW x FH" in one place, a slip that much code for style transfer follows by
    transposing the kernels. The channels of conv1_1 are R, G, B.

    Raises:
        ValueError: If the file is none of MatConvNet, or damaged.
    """
    from scipy.io import loadmat

    expected = (
        "`weights` should be a file of MatConvNet's SimpleNN, as imagenet-vgg-verydeep-19.mat is: "
        "a cell array `layers` of structs."
    )
    received = f"Received: {str(path)!r}"
    try:
        variables = loadmat(path)
        if "layers" in variables:
            return dict(_convolutions(variables["layers"]))
    except NotImplementedError as error:
        raise ValueError(
            f"{expected} Found: MATLAB 7.3, which is HDF5. Load it in MATLAB and save it with "
            f"the option '-v7'. {received}"
        ) from error
    except Exception as error:
        # SciPy has no error of its own for a file that is damaged or something else.
        raise ValueError(
            f"{expected} Found: a file that can't be read so ({error}). Is it whole? {received}"
        ) from error
    found = [name for name in variables if not name.startswith("__")]
    raise ValueError(f"{expected} Found: the variables {found}. {received}")


def _convolutions(layers: np.ndarray) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    for cell in layers.flat:
        # A struct is an array of one record, whose fields are arrays in turn.
        layer = dict(zip(cell.dtype.names, cell.item(), strict=True))
        if layer["type"].item() == "conv":
            # The first versions of MatConvNet had two fields instead of a cell array of two.
            old = "filters" in layer
            kernel, bias = (layer["filters"], layer["biases"]) if old else layer["weights"].flat
            yield layer["name"].item(), (kernel, bias.reshape(-1))
