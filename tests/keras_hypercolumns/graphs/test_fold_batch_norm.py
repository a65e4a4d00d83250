"""Folding of batch normalisation: the plain network computes what the normalised one does."""

import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import colorizer, fold_batch_norm, joint_colorizer, vgg19_gray


def randomize_norms(model, random):
    """Give every batch normalisation of `model` statistics and parameters of its own."""
    norms = [layer for layer in model.layers if layer.name.startswith("norm")]
    assert norms
    for norm in norms:
        channels = norm.gamma.shape[0]
        norm.set_weights(
            [
                random.uniform(0.5, 1.5, channels),  # gamma
                random.normal(scale=0.3, size=channels),  # beta
                random.normal(scale=0.3, size=channels),  # mean
                random.uniform(0.5, 2.0, channels),  # variance
            ]
        )


def check_close(found, expected):
    found, expected = ops.convert_to_numpy(found), ops.convert_to_numpy(expected)
    limit = 1e-5 * np.abs(expected).max()
    assert limit > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def test_folded_backbone_equals_the_normalised_one(random):
    normalized = vgg19_gray(batch_norm=True, data_format="channels_last")
    randomize_norms(normalized, random)
    plain = fold_batch_norm(normalized, vgg19_gray(data_format="channels_last"))
    assert not [layer for layer in plain.layers if layer.name.startswith("norm")]
    for size in ((32, 48), (37, 51)):
        picture = random.uniform(-1, 1, size=(2, *size, 1)).astype("float32")
        found, expected = plain(picture, training=False), normalized(picture, training=False)
        for tap, values in expected.items():
            check_close(found[tap], values)


def test_one_variant_is_taken_out_of_the_joint_network(random):
    joint = joint_colorizer(("relu3to5", "pool1to4"), batch_norm=True)
    randomize_norms(joint.get_layer("trunk"), random)
    plain = fold_batch_norm(joint, colorizer("pool1to4"))
    lightness = random.uniform(0, 100, size=(1, 37, 51, 1)).astype("float32")
    check_close(plain(lightness), joint(lightness, training=False)["pool1to4"])


def test_a_layer_that_is_missing_is_named():
    normalized = vgg19_gray(("relu1_2",), batch_norm=True)
    with pytest.raises(ValueError, match=r"`normalized` should have every layer.*'conv2_1'"):
        fold_batch_norm(normalized, vgg19_gray(("relu2_1",)))
