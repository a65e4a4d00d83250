"""Keras's own `model.export`: the exported files compute what the model does, at any size."""

import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import colorizer

SIZES = ((133, 95), (64, 64), (37, 53))
BACKEND = keras.backend.backend()

only_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow",
    reason="with unknown sizes, Keras 3.15 exports this format from TensorFlow alone: from torch "
    "it fixes them at 1, and from JAX the converters fail or are missing",
)


def build(taps):
    model = colorizer(taps)
    random = np.random.default_rng(5)
    for layer in model.layers:
        if layer.name.startswith("head_"):
            # It starts near zero; make colours that differ by more than rounding.
            shapes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([random.normal(scale=0.1, size=shape) for shape in shapes])
    # Keras exports to ONNX only what was called.
    model(np.zeros((1, 16, 16, 1), "float32"))
    return model


@pytest.fixture(scope="module")
def small():
    """Strides 1, 2 and 4."""
    return build(("relu1_2", "relu2_2", "pool2"))


@pytest.fixture(scope="module")
def full():
    return build("full")


def check(model, predict, random, sizes=SIZES):
    """Compare `predict`, a function of an array, with the model, in CIELAB units."""
    for size in sizes:
        lightness = random.uniform(0, 100, size=(1, *size, 1)).astype("float32")
        expected = ops.convert_to_numpy(model(lightness))
        assert expected.std() > 0.3
        np.testing.assert_allclose(np.asarray(predict(lightness)), expected, rtol=0, atol=1e-3)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras needs torch_xla for it, and fixes all sizes")
# Of Keras's call of jax2tf.
@pytest.mark.filterwarnings("ignore:The `(native_serialization|enable_xla)`:DeprecationWarning")
def test_saved_model(full, tmp_path, random):
    tf = pytest.importorskip("tensorflow")
    full.export(tmp_path / "model", verbose=False)
    # It has to be held: it owns the weights.
    loaded = tf.saved_model.load(tmp_path / "model")
    check(full, loaded.serve, random)


@only_tensorflow
# Of Keras, where it makes tf2onnx fit for NumPy 2.
@pytest.mark.filterwarnings("ignore:.*np.object:FutureWarning")
def test_onnx(small, tmp_path, random):
    pytest.importorskip("tf2onnx")
    from onnxruntime import InferenceSession

    small.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (lightness,) = session.get_inputs()
    check(small, lambda x: session.run(None, {lightness.name: x})[0], random)


@only_tensorflow
def test_openvino(full, tmp_path, random, monkeypatch):
    # Without this module, which reports its use over the network, OpenVINO works in silence.
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    openvino = pytest.importorskip("openvino")
    path = str(tmp_path / "model.xml")
    full.export(path, format="openvino", verbose=False)
    # By default it computes in bfloat16 where the processor can.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", exact)
    # Nodes that nothing reads, such as a batch size, count as further outputs.
    check(full, lambda x: compiled(x)[0], random)


@only_tensorflow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("size", [(37, 53), (None, None)])
def test_litert(small, size, tmp_path, random):
    import tensorflow as tf

    path = str(tmp_path / "model.tflite")
    small.export(
        path,
        format="litert",
        verbose=False,
        input_signature=[keras.InputSpec(shape=(1, *size, 1), dtype="float32")],
        # Of LiteRT itself: its runtime on a phone has no operations of TensorFlow.
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
    )
    interpreter = tf.lite.Interpreter(path)
    (lightness,), (ab,) = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(x):
        # Where the size is fixed, this changes nothing; Keras 3.14 fixes none.
        interpreter.resize_tensor_input(lightness["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(lightness["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(ab["index"])

    check(small, predict, random, SIZES if size == (None, None) else [size])
