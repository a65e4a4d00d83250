"""Models from anywhere that should not be trusted: each is refused with its reason, unbuilt."""

import json
import pickle
import struct

import h5py
import keras
import numpy as np
import pytest
from small_models import model_files

from keras_hypercolumns import HyperColumnProjection, tap_extractor
from kh_zoo import Colorizer, load_model, save_model
from kh_zoo.errors import ModelError
from kh_zoo.hub.store import pull
from kh_zoo.networks.model_folder import KERAS_FILES, KEY


def with_config(files, **changes):
    table = json.loads(files["config.json"])
    return {**files, "config.json": json.dumps({**table, **changes}).encode()}


def with_tensors(files, change):
    """The files with another table of tensors; `change` gets it, and the bytes after it."""
    content = files["model.safetensors"]
    (length,) = struct.unpack("<Q", content[:8])
    table, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    change(table, data)
    header = json.dumps(table).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(data)
    return {**files, "model.safetensors": content}


def overlapping(table, data):
    table["conv1_2.bias"]["data_offsets"] = table["conv1_1.bias"]["data_offsets"]


def out_of_range(table, data):
    name = max(table, key=lambda name: table[name]["data_offsets"])
    first, _ = table[name]["data_offsets"]
    table[name]["data_offsets"] = [first, first + 10**12]


def enormous(table, data):
    table["conv1_1.kernel"]["shape"] = [10**9, 1, 3, 3]


def other_shape(table, data):
    table["conv1_1.kernel"]["shape"] = [64, 1, 9, 1]


def nan(table, data):
    first, _ = table["conv1_1.bias"]["data_offsets"]
    data[first : first + 4] = np.float32("nan").tobytes()


class Boom:
    """What runs where a pickle of it is read."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was read')",))


HOSTILE = {
    "an unknown architecture": (
        lambda files: with_config(files, architecture="diffusion"),
        "of the architecture 'network' or 'vgg19_gray' or 'keras'",
    ),
    "a model of another library": (
        lambda files: {**files, "config.json": b'{"model_type": "bert"}'},
        "should be the configuration of a model of this package",
    ),
    "a version from the future": (
        lambda files: with_config(files, format=2),
        r"should have the format 1; a newer version .* Received: 2",
    ),
    "a billion channels": (
        lambda files: with_tensors(files, enormous),
        "'conv1_1.kernel'",
    ),
    "a tap that there is not": (
        lambda files: with_config(files, heads={"etchings": ["relu9_9"]}),
        "`taps` should name feature maps of VGG-19",
    ),
    "ten million taps": (
        lambda files: with_config(files, heads={"e": ["relu1_2"] * 10**6}),
        r"`config.json` should have at most 1,000,000 bytes",
    ),
    "shapes that don't match the configuration": (
        lambda files: with_tensors(files, other_shape),
        r"'conv1_1.kernel' should have the shape \(64, 1, 3, 3\). Received: \(64, 1, 9, 1\)",
    ),
    "more tensors than the configuration has": (
        lambda files: {
            **files,
            "model.safetensors": files["model.safetensors"] + b"\0" * 2_000_000,
        },
        r"`model.safetensors` should have at most 1,1\d\d,\d\d\d bytes",
    ),
    "tensors that overlap": (lambda files: with_tensors(files, overlapping), "lies outside"),
    "offsets out of the file": (lambda files: with_tensors(files, out_of_range), "lies outside"),
    "weights that are no numbers": (lambda files: with_tensors(files, nan), "is not finite"),
    "a pickle in place of tensors": (
        lambda files: {**files, "model.safetensors": pickle.dumps(Boom())},
        "is a pickle or an archive, which could run code",
    ),
    "a pickle alone": (
        lambda files: {
            "config.json": files["config.json"],
            "pytorch_model.bin": pickle.dumps(Boom()),
        },
        r"has no `model.safetensors` \(pytorch_model.bin is a pickle",
    ),
    "a file name that climbs out": (
        lambda files: {**files, "../../outside.txt": b"x"},
        r"whose name leads out of its folder, '../../outside.txt': nothing of it is fetched",
    ),
    "a file name from the root": (
        lambda files: {**files, "/tmp/outside.txt": b"x"},
        "leads out of its folder",
    ),
    "a configuration of 100 MB": (
        lambda files: {**files, "config.json": b'{"a": "' + b"x" * 100_000_000 + b'"}'},
        r"`config.json` should have at most 1,000,000 bytes. Received: 100,000,009",
    ),
    "a configuration nested a thousand deep": (
        lambda files: {**files, "config.json": b"[" * 100_000 + b"]" * 100_000},
        "nested too deep",
    ),
    "no JSON": (lambda files: {**files, "config.json": b"\xff\xfe"}, "is not a JSON file"),
    "a size that would take all memory": (
        lambda files: with_config(files, size=10**9),
        "`size` should be 16 to 4096",
    ),
    "a graph of its own in place of a configuration": (
        lambda files: {"model.onnx": b"graph", "model.safetensors": files["model.safetensors"]},
        "has no `config.json`",
    ),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return model_files(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_repository_is_refused(hub, sound, what):
    change, message = HOSTILE[what]
    hub.put("eve/bad", change(sound))
    for use in (pull, load_model, Colorizer):
        with pytest.raises(ModelError, match=message) as caught:
            use("eve/bad")
        assert "\n" not in str(caught.value)


LONG = ("a" * 900_000, ["a"] * 100_000, {str(number): 1 for number in range(50_000)})


@pytest.mark.parametrize("key", ["size", "heads", "vivid", "pooling", "input", "format", "more"])
@pytest.mark.parametrize("value", LONG, ids=["text", "list", "table"])
def test_a_reason_quotes_no_more_than_a_few_lines(sound, tmp_path, key, value):
    for name, content in with_config(sound, **{key: value}).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert len(str(caught.value)) < 1100


def test_what_is_too_large_is_not_even_fetched(hub, sound):
    hub.put("eve/bad", HOSTILE["a configuration of 100 MB"][0](sound))
    with pytest.raises(ModelError):
        pull("eve/bad")
    hub.put("eve/worse", HOSTILE["a file name that climbs out"][0](sound))
    with pytest.raises(ModelError):
        pull("eve/worse")
    assert not [request for request in hub.requests if "/resolve/" in request.path]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_that_leads_out_is_refused(sound, tmp_path, name):
    for file, content in sound.items():
        (tmp_path / file).write_bytes(content)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / name).rename(outside / name)
    (tmp_path / name).symlink_to(outside / name)
    with pytest.raises(ModelError, match="a link that leads out of its folder"):
        load_model(tmp_path)


# Keras models of a user's own


@pytest.fixture(scope="module")
def own():
    """A hypercolumn model with a backbone of its own: from L to AB, of any size."""
    lightness = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="one")(lightness)
    keras.layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="two")(x)
    backbone = keras.Model(lightness, keras.layers.Conv2D(6, 3, 2, "same", name="two")(x))
    maps = tap_extractor(backbone, ["one", "two"])(lightness)
    ab = HyperColumnProjection(2, ["one", "two"])(maps)
    return keras.Model(lightness, keras.layers.Rescaling(50.0)(ab))


@pytest.fixture(scope="module")
def own_files(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    save_model(own, folder, size=64)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def predict(model, seed=0):
    lightness = np.random.default_rng(seed).uniform(0, 100, (1, 32, 48, 1)).astype("float32")
    return keras.ops.convert_to_numpy(model.predict_on_batch(lightness))


def test_a_model_of_ones_own_survives_disk_and_hub(hub, own, own_files, tmp_path):
    assert set(own_files) == {"config.json", "metadata.json", "model.weights.h5"}
    hub.put("ada/own", own_files)
    for model in (load_model("ada/own"), load_model(pull("ada/own").path)):
        np.testing.assert_array_equal(predict(model), predict(own))
    colorizer = Colorizer("ada/own")
    assert colorizer.size == 64
    np.testing.assert_array_equal(
        colorizer.engine.predict_ab(np.full((16, 32), 50.0)),
        own.predict_on_batch(np.full((1, 16, 32, 1), 50.0, "float32"))[0],
    )
    # Plain Keras opens it too.
    again = keras.saving.load_model(pull("ada/own").path)
    np.testing.assert_array_equal(predict(again), predict(own))


def test_a_full_disk_is_the_reason(own, tmp_path):
    """A bound on the size of files stands in for it, which the HDF5 library does not name."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_model(own, tmp_path, size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob(".*"))
    save_model(own, tmp_path, size=64)
    assert {path.name for path in tmp_path.iterdir()} == set(KERAS_FILES)


def test_one_that_predicts_no_colour_colours_nothing(tmp_path):
    picture = keras.Input((16, 16, 3))
    save_model(keras.Model(picture, keras.layers.Conv2D(1, 1)(picture)), tmp_path, size=16)
    assert load_model(tmp_path).output_shape == (None, 16, 16, 1)
    with pytest.raises(ModelError, match="should predict A and B"):
        Colorizer(tmp_path)


def change_config(files, change):
    table = json.loads(files["config.json"])
    change(table)
    return {**files, "config.json": json.dumps(table).encode()}


def first_layer(table, name="Conv2D"):
    nodes = [table]
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, dict):
            if node.get("class_name") == name:
                return node
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    raise KeyError(name)


def a_lambda(table):
    layer = first_layer(table)
    layer |= {"module": "keras.layers", "class_name": "Lambda"}
    layer["config"] = {"function": {"class_name": "__lambda__", "config": {"code": "x"}}}


def a_class_of_python(table):
    first_layer(table).update(module="subprocess", class_name="Popen", registered_name=None)


def a_function_of_python(table):
    first_layer(table)["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip


def forget_shapes(node):
    """Remove the shapes that layers were built for, which would give a change away."""
    for part in node.values() if isinstance(node, dict) else node:
        if isinstance(part, (dict, list)):
            forget_shapes(part)
    if isinstance(node, dict):
        node.pop("build_config", None)


def a_billion_filters(table):
    forget_shapes(table)
    first_layer(table)["config"]["filters"] = 10**9


def more_filters(table):
    forget_shapes(table)
    first_layer(table)["config"]["filters"] = 5


def fewer_filters(table):
    forget_shapes(table)
    first_layer(table)["config"]["filters"] = 3


def in_weights(files, change, tmp_path):
    path = tmp_path / "changed.h5"
    path.write_bytes(files["model.weights.h5"])
    with h5py.File(path, "a") as file:
        change(file)
    return {**files, "model.weights.h5": path.read_bytes()}


def an_external_link(file):
    file["layers/stolen"] = h5py.ExternalLink("/etc/passwd", "/")


def an_external_dataset(file):
    file.create_dataset("stolen", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def a_bomb(file):
    file.create_dataset("bomb", (10**6, 10**6), "f4", chunks=True, compression="gzip")


def nan_weights(file):
    file.create_dataset("nan", data=np.float32([np.nan]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (a_lambda, "has the class 'Lambda', which could run any code"),
        (a_class_of_python, "should have classes of Keras .* Received: 'Popen' of 'subprocess'"),
        (a_function_of_python, "Received: 'function' of 'os'"),
        (a_billion_filters, "should describe a model of no more weights than"),
        (more_filters, "should describe a model of no more weights than"),
        (fewer_filters, "Keras can't build it"),
        (lambda table: table.update(class_name="Custom"), "functional or a sequential Keras model"),
        (lambda table: table[KEY].update(format=9), "should have the format 1"),
    ],
)
def test_a_hostile_keras_configuration_is_refused(hub, own_files, change, message):
    hub.put("eve/own", change_config(own_files, change))
    with pytest.raises(ModelError, match=message):
        load_model("eve/own")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (an_external_link, "'stolen' is a link"),
        (an_external_dataset, "keeps its numbers in another file"),
        (a_bomb, "'bomb' is larger than its file"),
        (nan_weights, "'nan' is not finite"),
    ],
)
def test_hostile_keras_weights_are_refused(hub, own_files, change, message, tmp_path):
    hub.put("eve/own", in_weights(own_files, change, tmp_path))
    with pytest.raises(ModelError, match=message):
        pull("eve/own")
    with pytest.raises(ModelError, match=message):
        load_model("eve/own")


def test_weights_that_are_no_file_of_keras(hub, own_files):
    hub.put("eve/own", {**own_files, "model.weights.h5": pickle.dumps(Boom())})
    with pytest.raises(ModelError, match="is no weights' file of Keras"):
        load_model("eve/own")
    hub.put("eve/part", {"config.json": own_files["config.json"]})
    with pytest.raises(ModelError, match=r"has no `metadata\.json`"):
        load_model("eve/part")
