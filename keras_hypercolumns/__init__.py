"""Hypercolumns for Keras 3: layers, a single-channel VGG-19, and the colorizer built of them."""

from importlib.metadata import version

try:
    import keras  # noqa: F401
except (ModuleNotFoundError, ValueError) as error:
    # Python's words, and Keras's for a backend that is missing, name a module, and no way out.
    name = (getattr(error, "name", None) or "").split(".")[0]
    if name == "keras":
        raise ImportError(
            "Keras is not installed: a plain install colours pictures, without it. Install it with "
            "a backend: `pip install 'keras-hypercolumns[tensorflow]'`, or `[jax]`, or `[torch]`."
        ) from None
    if isinstance(error, ModuleNotFoundError) and name not in ("tensorflow", "jax", "torch"):
        raise
    raise ImportError(
        f"Keras can't be imported with the backend that it is set to ({error}). Install one with "
        f"`pip install 'keras-hypercolumns[{name or 'tensorflow'}]'`, or choose an installed one "
        "with the variable KERAS_BACKEND (tensorflow, jax or torch)."
    ) from None

from keras_hypercolumns.backbones.efficientnet_lite import efficientnet_lite
from keras_hypercolumns.backbones.vgg19.taps import STUDY_VARIANTS, VARIANTS
from keras_hypercolumns.backbones.vgg19.vgg19_gray import vgg19_gray
from keras_hypercolumns.colorizers.colorizer import colorizer, joint_colorizer
from keras_hypercolumns.colorizers.colorizer_model import ColorizerModel
from keras_hypercolumns.colors.lab import lab_to_srgb, srgb_to_lab
from keras_hypercolumns.graphs.feature_info import FeatureInfo, feature_info
from keras_hypercolumns.graphs.features import features
from keras_hypercolumns.graphs.fold_batch_norm import fold_batch_norm
from keras_hypercolumns.graphs.pca_picture import pca_picture
from keras_hypercolumns.graphs.pick_taps import pick_taps
from keras_hypercolumns.graphs.preparing.prepare_taps import prepare_taps
from keras_hypercolumns.graphs.preparing.upsample_taps import upsample_taps
from keras_hypercolumns.graphs.project import project, unproject
from keras_hypercolumns.graphs.tap_extractor import tap_extractor
from keras_hypercolumns.layers.annealed_mean import AnnealedMean
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.hypercolumn_sampler import HyperColumnSampler
from keras_hypercolumns.layers.lightness_to_gray import LightnessToGray
from keras_hypercolumns.training.train import train

__version__ = version("keras-hypercolumns")

__all__ = [
    "STUDY_VARIANTS",
    "VARIANTS",
    "AnnealedMean",
    "ColorizerModel",
    "FeatureInfo",
    "HyperColumn",
    "HyperColumnProjection",
    "HyperColumnSampler",
    "LightnessToGray",
    "colorizer",
    "efficientnet_lite",
    "feature_info",
    "features",
    "fold_batch_norm",
    "joint_colorizer",
    "lab_to_srgb",
    "pca_picture",
    "pick_taps",
    "prepare_taps",
    "project",
    "srgb_to_lab",
    "tap_extractor",
    "train",
    "unproject",
    "upsample_taps",
    "vgg19_gray",
]
