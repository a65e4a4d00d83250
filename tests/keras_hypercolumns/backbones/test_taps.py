"""The tap tables, against the design's figures and the names' own meaning."""

import re

import pytest

from keras_hypercolumns.backbones.vgg19.taps import (
    ARCHITECTURES,
    STUDY_VARIANTS,
    VARIANTS,
    tap_block,
    tap_channels,
    tap_names,
    tap_stride,
)

CHANNELS = {
    "full": 5440,
    "relu1to5": 1472,
    "relu3to5": 1280,
    "pool1to4": 960,
    "relu4to5": 1024,
    "relu5": 512,
    "conv1to5": 1472,
    "relu1to3": 448,
    "relu2to5": 1408,
    "relu1to4": 960,
    "pool1to5": 1472,
}
LINEAR = {**VARIANTS, **STUDY_VARIANTS}
# Convolutions of the blocks of VGG-19, from the paper's table 1, column E.
CONVOLUTIONS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}


def test_variants_have_the_channels_of_the_design():
    assert {name: sum(map(tap_channels, taps)) for name, taps in LINEAR.items()} == CHANNELS
    assert len(VARIANTS) == 4


@pytest.mark.parametrize("name", [name for name in LINEAR if name != "full"])
def test_the_name_of_a_variant_says_its_taps(name):
    kind, first, last = re.fullmatch(r"([a-z]+)(\d)(?:to(\d))?", name).groups()
    blocks = range(int(first), int(last or first) + 1)
    # The last map of a kind in each block.
    expected = tuple(
        f"pool{block}" if kind == "pool" else f"{kind}{block}_{CONVOLUTIONS[block]}"
        for block in blocks
    )
    assert LINEAR[name] == expected


def test_architectures_see_all_activations_or_the_last_of_each_block():
    activations = [tap for tap in tap_names() if tap.startswith("relu")]
    assert list(ARCHITECTURES["layered"]) == [tap for tap in activations if tap != "relu1_1"]
    assert ARCHITECTURES["residual"] == tuple(f"relu{b}_{n}" for b, n in CONVOLUTIONS.items())
    assert not set(ARCHITECTURES) & set(LINEAR)


def test_stride_doubles_from_block_to_block_and_behind_a_pooling():
    assert [tap_stride(f"relu{block}_1") for block in CONVOLUTIONS] == [1, 2, 4, 8, 16]
    assert [tap_stride(f"pool{block}") for block in CONVOLUTIONS] == [2, 4, 8, 16, 32]
    assert [tap_block(tap) for tap in ("conv1_2", "relu3_4", "pool5")] == [1, 3, 5]


def test_tables_are_for_reading():
    for table in (VARIANTS, STUDY_VARIANTS, ARCHITECTURES):
        with pytest.raises(TypeError):
            table["other"] = ("relu1_1",)
