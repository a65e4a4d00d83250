"""A trained model on disk: `config.json` and `model.safetensors`.

The configuration holds a network (`kh_zoo.networks`) with an output for each variant. Kernels are
stored as convolutions read them, `(out, in, height, width)`: float32, or int8 with one float32
scale per output channel. The ONNX graph refers to the tensors where they lie in this file.

Files of format 1 tell what a VGG-19 and its heads are instead; they are read as the network that
they stand for.
"""

import dataclasses
import json
import math
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kh_zoo.errors import ModelError
from kh_zoo.files.plain_files import inside, open_plain, read_plain
from kh_zoo.networks.memory import MAX_BYTES
from kh_zoo.networks.network import Network, read_network
from kh_zoo.networks.vgg19 import INPUTS, POOLINGS, TAPS, vgg19_network

FORMAT = 2
VIVID = "-vivid"
"""Ends the name of the vivid head of a variant, beside its other one."""
CONFIG = "config.json"
TENSORS = "model.safetensors"
KERAS_WEIGHTS = "model.weights.h5"
KERAS_FILES = (CONFIG, "metadata.json", KERAS_WEIGHTS)
"""What a Keras model consists of, in a folder or a repository."""
KEY = "keras_hypercolumns"
"""Key of the configuration within Keras's own `config.json`, in a repository that has that."""
NETWORK, KERAS, VGG19 = "network", "keras", "vgg19_gray"
ARCHITECTURES = (NETWORK, VGG19, KERAS)
"""A network with heads, in this format or in the first one; or any Keras model, see
`keras_folder`."""

_PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
_BYTES = {"F32": 4, "I8": 1}
# Far above what is needed, far below what could exhaust the memory.
MAX_HEADER = 1_000_000
"""Bytes, at most, of a configuration and of a table of tensors."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says."""

    size: int
    """Short side, in pixels, of the copy of a picture that colours are predicted on."""
    network: Network
    """With an output of A and B for each head, of its name."""
    heads: dict[str, tuple[str, ...]]
    """Taps of each head: the maps of the network that its hypercolumn is of, in its order."""
    vivid: tuple[str, ...] = ()
    """Those of the heads that score colours and answer with a mean that leans to the likelier."""

    def to_table(self) -> dict[str, Any]:
        """Return the table of `config.json`."""
        return {
            "format": FORMAT,
            "architecture": NETWORK,
            "size": self.size,
            "heads": {head: list(taps) for head, taps in self.heads.items()},
            "vivid": list(self.vivid),
            "network": self.network.to_table(),
        }

    def to_json(self) -> str:
        """Return the text of `config.json`, a node a line."""
        table = self.to_table()
        nodes = table["network"].pop("nodes")
        text = json.dumps(table, indent=2)
        lines = ",\n".join(f"      {json.dumps(node)}" for node in nodes)
        return text.replace('"network": {', f'"network": {{\n    "nodes": [\n{lines}\n    ],', 1)

    @property
    def variants(self) -> tuple[str, ...]:
        """The heads, without those that are the vivid ones of others."""
        beside = {f"{head}{VIVID}" for head in self.heads} & set(self.vivid)
        return tuple(head for head in self.heads if head not in beside)

    def vivid_head(self, head: str) -> str | None:
        """Return the name of the vivid head of a variant, which may be that head itself."""
        found = (name for name in (head, f"{head}{VIVID}") if name in self.vivid)
        return next(found, None)

    def part(self, heads: Iterable[str]) -> "ModelConfig":
        """Return the configuration of some heads, without what they don't need."""
        kept = {head: self.heads[head] for head in heads}
        vivid = tuple(head for head in self.vivid if head in kept)
        return ModelConfig(self.size, self.network.part(kept), kept, vivid)

    def tap_channels(self, head: str) -> dict[str, int]:
        """Channels of each tap of a head."""
        channels = self.network.channels
        return {tap: channels[tap] for tap in self.heads[head]}

    def least_side(self, head: str) -> int:
        """The least height and width of a picture, in pixels, that a head can predict on."""
        network = self.network.part([head])
        side = 1
        while not network.fits(side):
            side *= 2
        return side

    def tensor_shapes(self, int8: Iterable[str] = ()) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor that the file should hold, by name; `int8` kernels have a scale."""
        shapes = self.network.tensor_shapes()
        scales = {scale_of(name): shapes[name][:1] for name in int8}
        return {**shapes, **scales}

    def int8(self, tensors: Iterable[str]) -> list[str]:
        """Names of the kernels that are int8 where a file holds these tensors."""
        there = set(tensors)
        return [name for name in self.network.kernels() if scale_of(name) in there]

    def most_bytes(self) -> int:
        """Bytes of the tensors in float32, without the table before them."""
        return 4 * sum(math.prod(shape) for shape in self.tensor_shapes().values())


def vgg19_config(
    pooling: str,
    size: int,
    heads: dict[str, tuple[str, ...]],
    input: str = "scaled",
    vivid: tuple[str, ...] = (),
) -> ModelConfig:
    """Return the configuration of a single-channel VGG-19 with linear heads, as of format 1."""
    return ModelConfig(size, vgg19_network(pooling, input, heads, vivid), heads, vivid)


def scale_of(kernel: str) -> str:
    """Name of the tensor of scales of an int8 kernel."""
    return f"{kernel.removesuffix('.kernel')}.scale"


@dataclasses.dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """A model folder that was checked: every tensor is there, in its shape, inside the file."""

    path: Path
    config: ModelConfig
    tensors: dict[str, TensorEntry]

    @property
    def tensors_path(self) -> Path:
        """The file that the tensors are in; in the Hub's cache not the link to it."""
        return inside(self.path / TENSORS)

    @property
    def quantized(self) -> bool:
        """Whether kernels are int8."""
        return any(entry.dtype == "I8" for entry in self.tensors.values())

    def parameters(self, head: str) -> int:
        """Number of parameters that one variant computes with, its trunk's among them."""
        shapes = self.config.network.part([head]).tensor_shapes()
        return sum(math.prod(shape) for shape in shapes.values())


def open_model_folder(path: Path, table: dict[str, Any] | None = None) -> ModelFolder:
    """Read and check the configuration and the table of tensors, and that weights are finite.

    Args:
        path: The folder.
        table: What `read_table` gave, where it was asked for the architecture.

    Raises:
        ModelError: If anything is missing, malformed, or does not fit together.
    """
    config = read_config(path / CONFIG, table)
    tensors = _read_header(path / TENSORS)
    folder = ModelFolder(path, config, tensors)
    int8 = [name for name in config.network.kernels() if name in tensors]
    int8 = [name for name in int8 if tensors[name].dtype == "I8"]
    expected = config.tensor_shapes(int8)
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None:
            raise ModelError(f"{path / TENSORS}: the tensor {name!r} is missing")
        if found.shape != shape:
            raise ModelError(
                f"{path / TENSORS}: the tensor {name!r} should have the shape {shape}. "
                f"Received: {found.shape}"
            )
        if found.dtype == "I8" and name not in int8:
            raise ModelError(f"{path / TENSORS}: the tensor {name!r} should be float32")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ModelError(f"{path / TENSORS}: unknown tensors {unknown[:3]}")
    _check_finite(folder)
    return folder


def _check_finite(folder: ModelFolder) -> None:
    with open_plain(folder.tensors_path) as file:
        for name, entry in folder.tensors.items():
            if entry.dtype != "F32":
                continue
            file.seek(entry.offset)
            values = file.read(entry.bytes)
            # The highest byte is the sign and most of the exponent: mostly it says enough, so that
            # a command that only wants names does without NumPy, which takes a while to import.
            highest = values[3::4]
            if b"\x7f" not in highest and b"\xff" not in highest:
                continue
            import numpy as np

            if not np.isfinite(np.frombuffer(values, "<f4")).all():
                raise ModelError(f"{folder.path / TENSORS}: the tensor {name!r} is not finite")


def read_table(path: Path) -> dict[str, Any]:
    """Read what a `config.json` says to us, of a known architecture and format.

    It is the whole table, or in a file of Keras what stands under `KEY`.

    Raises:
        ModelError: If it can't be read, is too large, or of something else.
    """
    table = read_json(path)
    if isinstance(table, dict):
        table = table.get(KEY, table)
    if not isinstance(table, dict) or table.get("architecture") not in ARCHITECTURES:
        raise ModelError(
            f"{path}: should be the configuration of a model of this package, of the architecture "
            f"{' or '.join(map(repr, ARCHITECTURES))}"
        )
    known = FORMAT if table["architecture"] == NETWORK else 1
    if table.get("format") != known:
        raise ModelError(
            f"{path}: should have the format {known}; a newer version of keras-hypercolumns may "
            f"read it. Received: {table.get('format')!r}"
        )
    return table


def read_json(path: Path) -> Any:
    """Read a small JSON file that may come from anywhere.

    Raises:
        ModelError: If it can't be read, is too large, or is no JSON.
    """
    content = read_plain(path, MAX_HEADER)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ModelError(f"{path}: is nested too deep for a configuration") from None
    except ValueError:
        raise ModelError(f"{path}: is not a JSON file") from None


def read_config(path: Path, table: dict[str, Any] | None = None) -> ModelConfig:
    """Read the configuration of a network with heads, of either format.

    Args:
        path: The file.
        table: What `read_table` gave, where it was asked before.

    Raises:
        ModelError: If it can't be read, or is none.
    """
    table = read_table(path) if table is None else table
    if table["architecture"] == KERAS:
        raise ModelError(
            f"{path}: is a Keras model of its own, without a trunk and heads as the catalogue's "
            "have; `kh_zoo.load_model` opens it, and `kh colorize` with it"
        )
    fields = {key: value for key, value in table.items() if key not in ("format", "architecture")}
    first = table["architecture"] == VGG19
    if first:
        # Older files lack them.
        fields = {"input": "scaled", "vivid": [], **fields}
    names = {"size", "heads", "vivid", *(("pooling", "input") if first else ("network",))}
    if set(fields) != names:
        raise ModelError(
            f"{path}: should have the keys {sorted(names)}. Received: {sorted(fields)}"
        )
    heads, vivid = _read_heads(path, fields["heads"]), fields["vivid"]
    size = fields["size"]
    if type(size) is not int or not 16 <= size <= 4096:
        raise ModelError(f"{path}: `size` should be 16 to 4096. Received: {size!r}")
    if not isinstance(vivid, list) or any(vivid.count(head) > 1 for head in vivid):
        raise ModelError(f"{path}: `vivid` should list some of the heads, none twice")
    for head in vivid:
        if not isinstance(head, str) or head not in heads:
            raise ModelError(
                f"{path}: `vivid` should list some of {list(heads)}. Received: {head!r}"
            )
    config = _network_of(path, first, fields, size, heads, tuple(vivid))
    needed = config.network.bytes_at_once(size, size)
    if needed > MAX_BYTES:
        raise ModelError(
            f"{path}: `size` should be smaller: the maps of this network would take "
            f"{needed / 1e9:.1f} GB at once where a picture has {size} pixels a side, and at most "
            f"{MAX_BYTES / 1e9:.1f} GB are. Received: {size}"
        )
    return config


def _network_of(
    path: Path,
    first: bool,
    fields: dict[str, Any],
    size: int,
    heads: dict[str, tuple[str, ...]],
    vivid: tuple[str, ...],
) -> ModelConfig:
    try:
        if first:
            for key, choices in (("pooling", tuple(POOLINGS)), ("input", INPUTS)):
                if fields[key] not in choices:
                    raise ModelError(
                        f"`{key}` should be one of {choices}. Received: {fields[key]!r}"
                    )
            return vgg19_config(fields["pooling"], size, heads, fields["input"], vivid)
        network = read_network(fields["network"])
        _check_heads(network, heads)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return ModelConfig(size, network, heads, vivid)


def _read_heads(path: Path, heads: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(heads, dict) or not heads:
        raise ModelError(f"{path}: `heads` should hold at least one variant")
    for head, taps in heads.items():
        if not isinstance(taps, list) or not taps or len(set(map(str, taps))) != len(taps):
            raise ModelError(f"{path}: `heads` should list the taps of {head!r}, none twice")
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", head) or head in TAPS:
            raise ModelError(f"{path}: {head!r} is no name for a variant")
    return {head: tuple(map(str, taps)) for head, taps in heads.items()}


def _check_heads(network: Network, heads: dict[str, tuple[str, ...]]) -> None:
    """Check that each head is an output of A and B, of the picture's size, whatever that is."""
    if set(network.outputs) != set(heads):
        raise ModelError(
            f"`outputs` should be those of `heads`, {sorted(heads)}. "
            f"Received: {sorted(network.outputs)}"
        )
    for height, width in ((256, 256), (160, 208)):
        maps = network.maps(height, width)
        for head, taps in heads.items():
            found = tuple(maps[network.outputs[head]])
            if found != (2, height, width):
                raise ModelError(
                    f"`outputs` should have 2 channels at the size of the picture. "
                    f"Received: {found} of {head!r}, where it has {height} x {width} pixels"
                )
            for tap in taps:
                if tap not in maps:
                    raise ModelError(f"`heads` should list maps of the network. Received: {tap!r}")


def _read_header(path: Path) -> dict[str, TensorEntry]:
    """Read the table of tensors of a safetensors file, and check that it is sound."""
    try:
        with open_plain(path) as file:
            total = os.fstat(file.fileno()).st_size
            start = file.read(8)
            # A sound table may be as long as a pickle begins (0x0480 bytes): but it is JSON.
            if start.startswith(_PICKLES) and file.read(1) != b"{":
                raise ModelError(
                    f"{path}: is a pickle or an archive, which could run code when it is read; "
                    "only safetensors files are"
                )
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, total - 8):
                raise ModelError(f"{path}: is not a whole safetensors file")
            file.seek(len(start))
            table = json.loads(file.read(length))
            if not isinstance(table, dict):
                raise ValueError
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise (
            error
            if isinstance(error, ModelError)
            else ModelError(f"{path}: is not a safetensors file")
        ) from None
    begin, tensors, end = 8 + length, {}, 0
    entries = [(name, entry) for name, entry in table.items() if name != "__metadata__"]
    try:
        entries.sort(key=lambda item: item[1]["data_offsets"])
        for name, entry in entries:
            dtype, shape = entry["dtype"], tuple(int(n) for n in entry["shape"])
            first, last = (int(n) for n in entry["data_offsets"])
            size = math.prod(shape) * _BYTES[dtype]
            if first != end or last - first != size or min(shape, default=1) < 1:
                raise ModelError(f"{path}: the tensor {name!r} lies outside of its place")
            tensors[name] = TensorEntry(dtype, shape, begin + first, size)
            end = last
    except (KeyError, TypeError, ValueError) as error:
        raise (
            error
            if isinstance(error, ModelError)
            else ModelError(f"{path}: its table of tensors can't be read ({error!r})")
        ) from None
    if begin + end != total:
        raise ModelError(
            f"{path}: should have {begin + end} bytes; it was cut or has something appended. "
            f"Received: {total}"
        )
    return tensors
