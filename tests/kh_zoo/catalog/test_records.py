"""What a plugin may leave out of the record of a variant."""

import dataclasses

import pytest

from kh_zoo import find_variant
from kh_zoo.catalog import records
from kh_zoo.catalog.records import Variant

LEFT_OUT = ("taps", "channels", "size", "parameters", "bytes")


@pytest.mark.parametrize("name", ["lite", "pool1to4"])
def test_what_the_folder_says_may_be_left_out(name):
    whole = find_variant(name)
    kept = {
        field.name: getattr(whole, field.name)
        for field in dataclasses.fields(whole)
        if field.name not in LEFT_OUT
    }
    assert records._of_plugin(Variant(**kept)) == (name, whole)
    own = Variant(**kept, parameters=7)
    assert records._of_plugin(own)[1] == dataclasses.replace(whole, parameters=7)


def test_a_folder_that_is_not_there_yet_says_nothing(tmp_path):
    variant = Variant(
        name="comics",
        description="Comics",
        license="CC0-1.0",
        origin="`kh train`",
        training_data=(),
        folder=tmp_path / "comics",
    )
    assert records._of_plugin(variant) == ("comics", variant)
