"""Keras models from anywhere: nothing but known layers, of a bounded size, is ever built."""

import contextlib
import copy
import itertools
import json
import resource
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving import serialization_lib

from kh_zoo import load_model, save_model
from kh_zoo.errors import ModelError
from kh_zoo.networks.keras_folder import check_keras_folder

MOST_SECONDS = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of a convolution, and its files. A sum over a row keeps it out of our own format."""
    folder = tmp_path_factory.mktemp("made")
    picture = keras.Input((None, None, 1), name="picture")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="one")(picture)
    x = x - keras.ops.mean(x, axis=2, keepdims=True)
    save_model(keras.Model(picture, keras.layers.Conv2D(2, 1, name="two")(x)), folder, size=64)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def layer(table, name):
    return next(one for one in table["config"]["layers"] if one["name"] == name)


def refuse(folder, message=None, build=True):
    """It is refused in little time and memory, with its reason on one line."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ModelError, match=message) as caught:
        (load_model if build else check_keras_folder)(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - started < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700_000


def changed(folder, change):
    table = json.loads((folder / "config.json").read_text())
    change(table)
    (folder / "config.json").write_text(json.dumps(table))
    return folder


def test_the_model_itself_is_built(folder):
    assert load_model(folder).output_shape == (None, None, None, 2)


# Names, as Keras looks them up

DANGEROUS = (
    *("layers.Lambda", "layers.TFSMLayer", "layers.TorchModuleWrapper", "layers.JaxLayer"),
    *("layers.FlaxLayer", "layers.TextVectorization", "layers.StringLookup", "layers.Hashing"),
    *("layers.IntegerLookup", "layers.Discretization", "layers.TimeDistributed", "layers.RNN"),
    *("layers.MultiHeadAttention", "utils.get_file", "saving.load_model", "models.Model", "Model"),
    *("callbacks.CSVLogger", "optimizers.Adam", "metrics.Mean", "utils.FeatureSpace"),
)


def spellings(name):
    """Every way to say it by a module and a name."""
    parts = f"keras.{name}".split(".")
    for at in range(1, len(parts)):
        yield ".".join(parts[:at]), ".".join(parts[at:])


SPELT = [spelt for name in DANGEROUS for spelt in spellings(name)]


@pytest.mark.parametrize(("module", "name"), SPELT)
@pytest.mark.parametrize("registered", [None, "the name", "no key"])
def test_dangerous_classes_under_any_name(folder, module, name, registered):
    def change(table):
        one = layer(table, "one")
        one |= {"module": module, "class_name": name, "registered_name": None}
        if registered == "the name":
            one["registered_name"] = name
        if registered == "no key":
            del one["registered_name"]

    refuse(changed(folder, change), "should have classes of Keras|could run any code", build=False)


def test_what_is_taken_is_what_keras_finds(folder):
    """Every name that passes is, to Keras itself, a layer, an operation or an initializer."""
    found = 0
    names = ("Conv2D", "layers.Conv2D", "Pad", "Add", "Sequential", "Zeros", "initializers.Zeros")
    modules = ("keras", "keras.layers", "keras.initializers", "keras.src.ops.numpy", "os", "", None)
    for module, name in itertools.product(modules, names):

        def change(table, module=module, name=name):
            layer(table, "one").update(module=module, class_name=name, registered_name=None)

        table = json.loads((folder / "config.json").read_text())
        original = copy.deepcopy(table)
        (folder / "config.json").write_text(json.dumps(table))
        try:
            check_keras_folder(changed(folder, change))
        except ModelError:
            passed = False
        else:
            passed = True
        (folder / "config.json").write_text(json.dumps(original))
        try:
            kind = serialization_lib._retrieve_class_or_fn(name, None, module, "class", {})
        except (TypeError, ValueError, AttributeError):
            kind = None
        known = (keras.Layer, keras.Operation, keras.initializers.Initializer)
        assert not passed or issubclass(kind, known), (module, name)
        found += passed
    assert found >= 7


UNHASHABLE = ([], {}, ["Conv2D"], {"a": 1}, 7, True, None, 1.5)


@pytest.mark.parametrize("key", ["class_name", "module", "registered_name"])
@pytest.mark.parametrize("value", UNHASHABLE, ids=repr)
def test_names_that_are_no_words(folder, key, value):
    if key == "registered_name" and value is None:
        return  # as Keras writes it
    refuse(changed(folder, lambda table: layer(table, "one").update({key: value})), build=False)


@pytest.mark.parametrize(
    "function",
    [
        *(("keras", "utils.get_file"), ("keras.utils", "get_file"), ("builtins", "get_file")),
        *(("os", "system"), ("builtins", "eval"), ("keras.ops", "while_loop"), (None, "relu")),
        *(("keras.saving", "load_model"), ("builtins", ["relu"]), ("builtins", {"a": 1})),
    ],
    ids=str,
)
def test_functions(folder, function):
    module, name = function
    value = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    change = changed(folder, lambda table: layer(table, "one")["config"].update(activation=value))
    refuse(change, "should have classes of Keras", build=False)


@pytest.mark.parametrize("dtype", ["S1000000000", "O", "object", "V100", "U99999999", 7, ["f4"]])
@pytest.mark.parametrize("kind", ["__numpy__", "__tensor__"])
def test_values_of_odd_types(folder, kind, dtype):
    value = {"class_name": kind, "config": {"value": [1.0], "dtype": dtype}}
    change = changed(folder, lambda table: layer(table, "two")["inbound_nodes"][0].update(x=value))
    refuse(change, "should have classes of Keras", build=False)


# What would take too much


def one_more(function):
    """A model that ends with what is added to the map of four channels, without new weights."""

    def change(folder):
        picture = keras.Input((None, None, 1), name="picture")
        x = keras.layers.Conv2D(4, 3, padding="same", name="one")(picture)
        model = keras.Model(picture, function(x))
        table = json.loads((folder / "config.json").read_text())
        kept = table["keras_hypercolumns"]
        table = keras.saving.serialize_keras_object(model)
        table["keras_hypercolumns"] = kept
        (folder / "config.json").write_text(json.dumps(table))
        model.save_weights(folder / "model.weights.h5", overwrite=True)
        return folder

    return change


def nested(depth):
    """Models in models, each of which calls the one in it twice."""

    def function(x):
        inner = None
        for _ in range(depth):
            given = keras.Input(x.shape[1:])
            once = inner or keras.layers.ReLU()
            # Built with one call, and written as if it were two, or it would take as long here.
            inner = keras.Model(given, once(given))
        return inner(x)

    return function


def much_larger(x):
    return keras.layers.UpSampling2D(90)(x)


def up_and_down():
    """A model whose output is no larger than its input."""
    layers = [keras.layers.UpSampling2D(500), keras.layers.MaxPooling2D(500)]
    return keras.Sequential([keras.Input((None, None, 4)), *layers])


LARGE = {
    "UpSampling2D(5000)": keras.layers.UpSampling2D(5000),
    "UpSampling2D in two": lambda x: much_larger(much_larger(x)),
    "ZeroPadding2D": keras.layers.ZeroPadding2D(20_000),
    "Repeat": lambda x: keras.ops.repeat(x, 10**6, axis=-1),
    "Pad": lambda x: keras.ops.pad(x, ((0, 0), (0, 10**5), (0, 10**4), (0, 0))),
    "Tile": lambda x: keras.ops.tile(x, (1, 300, 300, 1)),
    "Resizing": keras.layers.Resizing(40_000, 40_000),
    "resize": lambda x: keras.ops.image.resize(x, (40_000, 40_000)),
    "concatenate again and again": lambda x: [
        x := keras.ops.concatenate([x, x], -1) for _ in range(24)
    ][-1],
    "a sum of shapes that differ": lambda x: (
        keras.layers.Reshape((-1, 1, 1))(x) + keras.layers.Reshape((1, -1, 1))(x)
    ),
    "within another": lambda x: up_and_down()(x),
    "within two others": lambda x: keras.Sequential([keras.Input(x.shape[1:]), up_and_down()])(x),
}


@pytest.mark.parametrize("what", LARGE)
def test_what_would_take_too_much_is_refused(folder, what):
    refuse(one_more(LARGE[what])(folder), "take at most|at most 1,000,000 bytes")


def test_what_takes_little_is_built(folder):
    function = lambda x: keras.layers.MaxPooling2D(4)(keras.layers.UpSampling2D(4)(x))  # noqa: E731
    model = load_model(one_more(function)(folder))
    assert model.output_shape == (None, None, None, 4)


def test_calls_that_multiply(folder):
    one_more(nested(16))(folder)

    def twice(node):
        if isinstance(node, dict):
            if isinstance(node.get("inbound_nodes"), list):
                node["inbound_nodes"] *= 2
            node = list(node.values())
        for part in node if isinstance(node, list) else []:
            twice(part)

    refuse(changed(folder, twice), "at most 20,000 calls", build=False)


def test_nesting(folder):
    def change(table):
        layer(table, "one")["config"]["x"] = json.loads("[" * 300 + "]" * 300)

    refuse(changed(folder, change), "nested too deep", build=False)


def test_what_keras_prints_bold_is_not(folder):
    """In place of the text, the terminal's own signs would be shown."""

    def change(table):
        layer(table, "two")["config"]["kernel_size"] = [3, "x"]

    with pytest.raises(ModelError, match="Keras can't build it") as caught:
        load_model(changed(folder, change))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("layers", [None, 7, "x", {}, [7], [None], [{}], [[]], [{"class_name": 7}]])
def test_layers_that_are_none(folder, layers):
    refuse(changed(folder, lambda table: table["config"].update(layers=layers)))


# Weights


def cycle(file):
    file["layers/again"] = file["layers"]


def many_links(file):
    file["values"] = np.zeros(10**5, "f4")
    for number in range(2000):
        file[f"v{number}"] = file["values"]


def deep_cycle(file):
    group = file.create_group("a")
    for _ in range(50):
        group = group.create_group("a")
    group["back"] = file["/"]


def overlapping(file):
    for number in range(20):
        space = h5py.h5s.create_simple((10**4,))
        h5py.h5d.create(file.id, b"v%d" % number, h5py.h5t.IEEE_F32LE, space)
    file.create_dataset("late", (10**5,), "f4")


WEIGHTS = {
    "a cycle": cycle,
    "a long cycle": deep_cycle,
    "2000 links to one array": many_links,
    "a named type": lambda file: file.__setitem__("type", np.dtype("f4")),
    "a compound type": lambda file: file.__setitem__("type", np.dtype([("a", "f4")])),
    "a null space": lambda file: file.create_dataset("x", data=h5py.Empty("f4")),
    "a text": lambda file: file.__setitem__("x", "text"),
    "texts": lambda file: file.create_dataset("x", data=["a", "b"]),
    "ragged arrays": lambda file: file.create_dataset("x", (3,), h5py.vlen_dtype("f4")),
    "a reference": lambda file: file.create_dataset("x", (1,), h5py.ref_dtype),
    "a soft link": lambda file: file.__setitem__("x", h5py.SoftLink("/layers")),
    "a soft link to itself": lambda file: file.__setitem__("x", h5py.SoftLink("/x")),
    "arrays that nobody wrote": overlapping,
    "nothing, compressed": lambda file: file.create_dataset(
        "x", (10**9,), "f4", chunks=(10**6,), compression="gzip"
    ),
    "a piece larger than the file": lambda file: file.create_dataset(
        "x", data=np.ones(9, "f4"), chunks=(2**22,), maxshape=(None,), compression="gzip"
    ),
    "a long name": lambda file: file.create_dataset("a" * 60_000, data=np.float32([np.nan])),
    "infinite": lambda file: file.create_dataset("x", data=np.float32([np.inf])),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights(folder, what):
    with h5py.File(folder / "model.weights.h5", "a") as file:
        WEIGHTS[what](file)
    refuse(folder)


@pytest.mark.parametrize("code", ["os.abort()", "bytearray(2**40)", "print('no number')"])
def test_weights_whose_reading_is_not_survived(folder, monkeypatch, code):
    """As HDF5's library does with some: freed twice, or memory without end."""
    real = subprocess.run

    def run(command, **options):
        assert command[:3] == [sys.executable, "-P", "-m"]
        return real([sys.executable, "-c", f"import os; {code}"], **options)

    monkeypatch.setattr(subprocess, "run", run)
    refuse(folder, "does not survive", build=False)


@pytest.mark.parametrize("seed", range(40))
def test_weights_that_are_damaged(folder, seed):
    """Some bytes are others; h5py itself says whether the numbers can still be read."""
    generator = np.random.default_rng(seed)
    content = bytearray((folder / "model.weights.h5").read_bytes())
    for place in generator.integers(0, len(content), 12):
        content[place] = generator.integers(0, 256)
    if seed % 4 == 0:
        del content[generator.integers(1, len(content)) :]
    (folder / "model.weights.h5").write_bytes(content)
    with contextlib.suppress(ModelError):
        found = check_keras_folder(folder)
        sizes = []
        with h5py.File(folder / "model.weights.h5") as file:
            file.visititems(
                lambda name, one: sizes.append(one.size) if isinstance(one, h5py.Dataset) else None
            )
        assert found.parameters == sum(sizes)
