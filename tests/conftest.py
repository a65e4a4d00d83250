"""Fixtures of the whole suite."""

import contextlib
import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

# Before what calls home otherwise.
import kh_zoo.telemetry  # noqa: F401

# isort: split
import keras
import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import constants
from PIL import Image

from kh_zoo.networks.model_folder import vgg19_config
from kh_zoo.networks.tensors import write_model_folder


def pytest_configure(config):
    # A shell without job control starts background jobs with Ctrl-C ignored, nohup with SIGHUP, and
    # what they start inherits that: nothing would end the programs that the tests interrupt.
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    for number, handler in handlers.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    # Keras 3.15 itself: the `__array__` of its variables, and a NumPy-2 `np.array` of them.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    )
    # huggingface_hub 2.4, when it sends a large file.
    config.addinivalue_line(
        "filterwarnings", "ignore:Use 'content=<...>' to upload raw:DeprecationWarning"
    )


def pytest_collection_modifyitems(items):
    if not os.environ.get("KH_LONG"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: KH_LONG=1, before a release"))


@pytest.fixture(autouse=True)
def seeded():
    """Random weights are the same in whatever order tests run."""
    keras.utils.set_random_seed(20261126)


@pytest.fixture(autouse=True)
def bounded(request):
    """Whatever means harm takes 30 seconds of a processor and a gigabyte at most, or it failed."""
    if not re.search("hostile|damaged|memory|plain_files", request.node.path.name):
        yield
        return
    with contextlib.suppress(OSError):  # Linux alone counts the peak anew
        Path("/proc/self/clear_refs").write_text("5")
    begun, before = time.process_time(), _peak()
    yield
    assert time.process_time() - begun < 30
    assert _peak() - before < 2**30


def _peak():
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024
    return 0


@pytest.fixture
def random():
    return np.random.default_rng(20261123)


@pytest.fixture
def output_and_gradients():
    """The output of a function of arrays, and the gradients of its sum weighted by `weight`."""

    def compute(function, arrays, weight):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tensors = [tf.constant(array) for array in arrays]

            # In a graph, which leaves out the gradients of weights: at that of some dilated kernel
            # TensorFlow crashes.
            @tf.function
            def compute_both(*tensors):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(tensors)
                    output = function(*tensors)
                    total = keras.ops.sum(output * weight)
                return output, tape.gradient(total, tensors)

            output, gradients = compute_both(*map(tf.constant, arrays))
        elif keras.backend.backend() == "jax":
            import jax

            output, pull_back = jax.vjp(jax.jit(function), *arrays)
            gradients = pull_back(jax.numpy.asarray(weight))
        else:
            import torch

            tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
            output = function(*tensors)
            gradients = torch.autograd.grad(output, tensors, torch.tensor(weight))
        to_numpy = keras.ops.convert_to_numpy
        return to_numpy(output), [to_numpy(gradient) for gradient in gradients]

    return compute


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A data folder of small colour pictures, some of each folder in each split.

    `folder` is the data folder; `splits[split][folder]` are the names in it. The split is computed
    here as the data's own description says, not by the code under test.
    """
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(7)
    wanted = {"train": 5, "validation": 3, "test": 2}
    splits = {split: {"flowers": [], "photos": []} for split in wanted}
    for group, subfolder in (("flowers", "flowers/daisy"), ("photos", "photos/street")):
        number = 0
        while any(len(splits[split][group]) < count for split, count in wanted.items()):
            name = f"{subfolder}/{number}.png"
            number += 1
            remainder = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % 20
            split = {0: "test", 1: "validation"}.get(remainder, "train")
            if len(splits[split][group]) == wanted[split]:
                continue
            splits[split][group].append(name)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            size = random.integers(33, 60, 2)
            Image.fromarray(random.integers(0, 256, (*size, 3), "uint8")).save(path)
    return SimpleNamespace(folder=folder, splits=splits)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model of two convolutions that makes everything strongly coloured."""
    folder = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(0)
    config = vgg19_config(pooling="average", size=64, heads={"tiny": ("relu1_2",)})
    tensors = {
        name: random.normal(0, 0.02, shape).astype("float32")
        for name, shape in config.tensor_shapes().items()
    }
    tensors["tiny.bias"] = np.float32([0.5, 0.5])
    write_model_folder(folder, config, tensors)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub for this process and those that it starts, with an empty cache and nobody logged in."""
    with HubServer(tmp_path / "hub") as server:
        home = tmp_path / "hf"
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in server.variables(home).items():
            monkeypatch.setenv(name, value)
        # The client reads them once, when it is imported.
        for name, value in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint
            + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        yield server


@pytest.fixture
def kh_here(monkeypatch, capsys):
    """`kh` within this process: its exit code, and what it printed on stdout and stderr."""
    from kh_cli.app import run as main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kh", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run
