"""What has no public name in Keras is still where we look for it, and looked for nowhere else."""

import re
from pathlib import Path

import keras
import numpy as np

import keras_hypercolumns
import kh_zoo
from keras_hypercolumns.graphs import keras_private
from keras_hypercolumns.graphs.keras_private import calls_by_depth, forget_postponed_variables


def test_the_calls_of_a_shared_layer_are_all_there():
    picture = keras.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    found = calls_by_depth(keras.Function(picture, shared(shared(picture))))
    names = [call.operation.name for depth in sorted(found) for call in found[depth]]
    assert names[:2] == ["shared", "shared"]


def test_no_variable_waits_for_another_scope():
    with keras.StatelessScope():
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        forget_postponed_variables()
    assert layer.kernel._value is None, "else this test says nothing"
    with keras.StatelessScope():
        pass
    assert layer.kernel._value is None
    np.testing.assert_array_equal(keras.layers.Dense(2)(np.zeros((1, 3))).shape, (1, 2))


def test_nothing_else_uses_private_names():
    found = []
    for package in (keras_hypercolumns, kh_zoo):
        for path in Path(package.__file__).parent.rglob("*.py"):
            if path != Path(keras_private.__file__):
                text = path.read_text(encoding="utf-8")
                found += re.findall(r"(?:from|import) keras\.src.*|\._(?:nodes_by|inbound).*", text)
    assert found == []
