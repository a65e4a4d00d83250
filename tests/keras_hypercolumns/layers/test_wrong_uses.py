"""Wrong uses of the hypercolumn layers: each gets an error that says what to do."""

import keras
import numpy as np
import pytest

from keras_hypercolumns import HyperColumn, HyperColumnProjection, HyperColumnSampler

TAPS = ("early", "late")
EARLY, LATE, POINTS = (2, 4, 6, 3), (2, 2, 3, 5), (2, 7, 2)
MAPS = {"early": EARLY, "late": LATE}


def call(shapes, layer=HyperColumn, taps=TAPS, **settings):
    """Call a layer on arrays of `shapes`: a shape, or a dict or tuple of them."""

    def zeros(shape):
        if isinstance(shape, dict):
            return {name: zeros(inner) for name, inner in shape.items()}
        if isinstance(shape[0], int):
            return np.zeros(shape, "float32")
        return tuple(zeros(inner) for inner in shape)

    if layer is HyperColumnProjection:
        settings["filters"] = 2
    layer(taps=taps, data_format="channels_last", name="head", **settings)(zeros(shapes))


def sample(features, points=POINTS, **settings):
    call((features, points), HyperColumnSampler, **settings)


def call_after_building(layer, built, called):
    layer.build(built)
    layer({name: np.zeros(shape, "float32") for name, shape in called.items()})


# What is done, and the essential words of the error: what was expected, what to do.
WRONG = {
    "taps are one name": (
        lambda: HyperColumn("relu1_2"),
        ["`taps` should be a list or tuple of names", "Received: 'relu1_2'"],
    ),
    "taps are numbers": (
        lambda: HyperColumn((1, 2)),
        ["`taps` should be a list or tuple of names"],
    ),
    "taps are missing": (lambda: HyperColumn(None), ["`taps` should be a list or tuple of names"]),
    "taps have no order": (
        lambda: HyperColumn({"early", "late"}),
        ["`taps` should be a list or tuple of names"],
    ),
    "filters and taps are swapped": (
        lambda: HyperColumnProjection(TAPS, 2),
        ["`taps` should be a list or tuple of names", "Received: 2"],
    ),
    "no taps": (lambda: HyperColumn(()), ["`taps` should name at least one", "Received: ()"]),
    "a tap twice": (
        lambda: HyperColumn(("a", "a")),
        ["`taps`", "none of them twice", "('a', 'a')"],
    ),
    "reference is no name": (
        lambda: HyperColumn(TAPS, reference=1),
        ["`reference` should be the name of the feature map", "or None", "Received: 1"],
    ),
    "interpolation is unknown": (
        lambda: HyperColumn(TAPS, interpolation="bilinaer"),
        ["`interpolation`", "'nearest'", "Did you mean 'bilinear'?", "Received: 'bilinaer'"],
    ),
    "coordinates are unknown": (
        lambda: HyperColumn(TAPS, coordinates="half-pixel"),
        ["`coordinates`", "'align_corners'", "Did you mean 'half_pixel'?"],
    ),
    "data_format is unknown": (
        lambda: HyperColumn(TAPS, data_format="channel_last"),
        ["`data_format`", "'channels_first'", "Did you mean 'channels_last'?"],
    ),
    "strides leave out a tap": (
        lambda: HyperColumn(TAPS, strides={"early": 1}),
        ["`strides` should map each tap", "['early', 'late']", "Received: {'early': 1}"],
    ),
    "strides of something else": (
        lambda: HyperColumn(("early",), strides={"early": 1, "late": 2}),
        ["`strides` should map each tap", "['early']"],
    ),
    "strides without names": (
        lambda: HyperColumn(TAPS, strides=(1, 2)),
        ["`strides` should map each tap", "Received: (1, 2)"],
    ),
    "a stride is negative": (
        lambda: HyperColumn(("early",), strides={"early": -2}),
        ["`strides`", "a positive int", "-2"],
    ),
    "a stride is a fraction": (
        lambda: HyperColumn(("early",), strides={"early": 0.5}),
        ["`strides`", "a positive int", "0.5"],
    ),
    "no filters": (
        lambda: HyperColumnProjection(0, TAPS),
        ["`filters` should be a positive int", "Received: 0"],
    ),
    "filters are no number": (
        lambda: HyperColumnProjection(None, TAPS),
        ["`filters` should be a positive int", "Received: None"],
    ),
    "a tap that isn't there": (
        lambda: call(MAPS, taps=("early", "latest")),
        [
            "layer 'head'",
            "['early', 'latest']",
            "`taps[1]` should be one of 'early', 'late'",
            "Did you mean 'late'?",
            "Received: 'latest'",
        ],
    ),
    "a reference that isn't there": (
        lambda: call(MAPS, reference="picture"),
        [
            "layer 'head'",
            "Add the missing one",
            "`reference` should be one of 'early', 'late'",
            "Received: 'picture'",
        ],
    ),
    "too short a tuple": (
        lambda: call((EARLY,)),
        [
            "a dict of feature maps with the keys ['early', 'late']",
            "a tuple of their maps",
            "Received: 1 of them",
        ],
    ),
    "the reference is left out of a tuple": (
        lambda: call((EARLY, LATE), reference="picture"),
        ["['early', 'late', 'picture']", "a tuple of their maps in that order", "Received: 2 of"],
    ),
    "one map, not in a tuple": (
        lambda: call(EARLY, taps=("early",)),
        ["a dict of feature maps with the keys ['early']", "a single tensor of shape (2, 4, 6, 3)"],
    ),
    "a map of rank 3": (
        lambda: call({"early": EARLY, "late": (2, 2, 3)}),
        ["`inputs['late']`", "rank 4, (batch, height, width, channels)", "shape (2, 2, 3)"],
    ),
    "maps of different batches": (
        lambda: call({"early": EARLY, "late": (1, 2, 3, 5)}),
        ["share one batch size", "'early': (2, 4, 6, 3)", "'late': (1, 2, 3, 5)"],
    ),
    "maps of different batches, once the layer is built": (
        lambda: call_after_building(
            HyperColumn(TAPS, data_format="channels_last"), MAPS, {**MAPS, "late": (1, 2, 3, 5)}
        ),
        ["share one batch size", "'late': (1, 2, 3, 5)"],
    ),
    "channels that the kernel is not for": (
        lambda: call_after_building(
            HyperColumnProjection(2, TAPS, data_format="channels_last"),
            MAPS,
            {**MAPS, "late": (2, 2, 3, 4)},
        ),
        ["the channels that it was built with", "'late': 5", "Received: {'early': 3, 'late': 4}"],
    ),
    "channels are unknown": (
        lambda: HyperColumn(("early",), data_format="channels_last")(
            {"early": keras.Input((4, 4, None))}
        ),
        ["a known number of channels", "axis 3 (channels_last)", "(None, 4, 4, None)"],
    ),
    "the projection is called as wrongly": (
        lambda: call({"early": EARLY}, HyperColumnProjection),
        ["`taps[1]` should be one of 'early'", "Received: 'late'"],
    ),
    "no points": (
        lambda: call(MAPS, HyperColumnSampler),
        ["layer 'head' should be one tuple, `(features, points)`", "Received: a dict"],
    ),
    "points among the maps": (
        lambda: call((EARLY, LATE, POINTS), HyperColumnSampler),
        ["should be one tuple, `(features, points)`", "Received: a tuple of 3"],
    ),
    "one map in place of the features": (
        lambda: sample(EARLY),
        ["a dict of feature maps with the keys ['early', 'late']", "a single tensor of shape"],
    ),
    "points without a batch": (
        lambda: sample(MAPS, points=(7, 2)),
        ["`points` of layer 'head'", "(batch, points, 2)", "(y, x) in pixels", "shape (7, 2)"],
    ),
    "points in three dimensions": (
        lambda: sample(MAPS, points=(2, 7, 3)),
        ["`points` of layer 'head'", "(batch, points, 2)", "shape (2, 7, 3)"],
    ),
    "points of another batch": (
        lambda: sample(MAPS, points=(1, 7, 2)),
        ["`points` of layer 'head'", "batch size of the feature maps, 2", "shape (1, 7, 2)"],
    ),
}


@pytest.mark.parametrize("use", WRONG)
def test_error_says_what_to_do(use):
    act, words = WRONG[use]
    with pytest.raises(ValueError, match="Received: ") as caught:
        act()
    message = str(caught.value)
    assert [part for part in words if part not in message] == [], message
