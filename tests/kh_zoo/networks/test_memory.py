"""What a network takes, from its description: refused before it is built."""

import json
import math
import resource
import time

import numpy as np
import pytest
from small_models import model_files

from kh_zoo.errors import ModelError
from kh_zoo.networks.memory import MAX_BYTES, Step, bytes_at_once
from kh_zoo.networks.model_folder import open_model_folder, read_config, vgg19_config

WIDE = {"filters": 4096, "kernel_size": [1, 1], "strides": [1, 1], "padding": "same"}


def by_definition(steps, outputs):
    """While a step is made, whatever was made and is read by it or later is there."""
    most = 0
    for number, step in enumerate(steps):
        later = {name for other in steps[number:] for name in other.inputs} | set(outputs)
        there = {one.name: one.bytes for one in steps[: number + 1]}
        kept = sum(size for name, size in there.items() if name in later or name == step.name)
        most = max(most, kept + step.within)
    return most


@pytest.mark.parametrize("seed", range(20))
def test_maps_that_are_needed_at_once(seed):
    generator = np.random.default_rng(seed)
    steps = [Step(0, (), 7)]
    for name in range(1, 30):
        inputs = generator.integers(0, name, generator.integers(1, 4)).tolist()
        steps.append(Step(name, inputs, *generator.integers(0, 100, 2).tolist()))
    outputs = generator.integers(0, 30, 2).tolist()
    assert bytes_at_once(steps, outputs) == by_definition(steps, outputs)


def test_a_network_by_hand():
    """VGG-19 at 64 x 64: while conv1_2 is made, what it reads and itself, each of 64 channels."""
    config = vgg19_config("average", 64, {"etchings": ("relu1_2",)})
    assert config.network.bytes_at_once(64, 64) == 4 * 64 * 64 * (64 + 64)
    # A map that is kept for a hypercolumn is there until that is made.
    both = vgg19_config("average", 64, {"etchings": ("relu1_2", "relu5_4")})
    assert both.network.bytes_at_once(64, 64) > config.network.bytes_at_once(64, 64)


def write(folder, change):
    files = model_files(folder)
    table = json.loads(files["config.json"])
    change(table)
    (folder / "config.json").write_text(json.dumps(table))
    return folder


def network(nodes, size=256):
    """A configuration of maps after each other, then of two channels again."""

    def change(table):
        table.clear()
        names = ["lightness", *(node["name"] for node in nodes)]
        for node, before in zip(nodes, names, strict=False):
            node.setdefault("inputs", [before])
        table |= {"format": 2, "architecture": "network", "size": size, "vivid": []}
        table |= {"heads": {"etchings": [names[1]]}}
        ab = {"name": "ab", "op": "convolution", "inputs": [names[-1]]}
        ab |= {"attributes": {**WIDE, "filters": 2, "dilation": [1, 1], "groups": 1}}
        ab |= {"tensors": {"kernel": "ab.kernel"}}
        table["network"] = {"nodes": [*nodes, ab], "outputs": {"etchings": "ab"}}

    return change


def wide(name, filters=4096):
    attributes = {**WIDE, "filters": filters, "dilation": [1, 1], "groups": 1}
    return {
        "name": name,
        "op": "convolution",
        "attributes": attributes,
        "tensors": {"kernel": f"{name}.kernel"},
    }


def concatenated(times):
    first = wide("x0", 64)
    more = [
        {"name": f"x{n}", "op": "concatenate", "inputs": [f"x{n - 1}", f"x{n - 1}"]}
        for n in range(1, times)
    ]
    return [first, *more]


HUNGRY = {
    **{f"a size of {size}": lambda table, size=size: table.update(size=size)
       for size in (2048, 3008, 4096)},
    "a wide map": network([wide("x")], 512),
    "wide maps that are all kept": network(
        [*(wide(f"x{n}", 1024) | {"inputs": ["lightness"]} for n in range(8)),
         {"name": "all", "op": "concatenate", "inputs": [f"x{n}" for n in range(8)]}]
    ),
    "channels that double": network(concatenated(9)),
    "a small one at a large size": network([wide("x", 32)], 4096),
    "a border at a large size": network(
        [{"name": "x", "op": "padding", "attributes": {"padding": [64, 64, 64, 64]}}, wide("y", 64),
         {"name": "z", "op": "resize", "inputs": ["y", "lightness"],
          "attributes": {"scale": 1, "offset": 0.0}}], 4096
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HUNGRY)
def test_what_would_take_too_much_is_refused(what, tmp_path):
    folder = write(tmp_path, HUNGRY[what])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ModelError, match=r"would take .* GB at once|numbers where the"):
        open_model_folder(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("size", [16, 64, 128, 256, 512, 1024])
def test_common_sizes_are_taken(size, tmp_path):
    folder = write(tmp_path, lambda table: table.update(size=size))
    config = read_config(folder / "config.json")
    maps = config.network.maps(size, size)
    assert 4 * math.prod(maps["conv1_2"]) <= config.network.bytes_at_once(size, size) <= MAX_BYTES
