"""A trained model on disk: `config.json` and `model.safetensors`.

One trunk (a single-channel VGG-19) and the heads of one or several variants on it. Kernels are
stored as convolutions read them, `(out, in, height, width)`: float32, or int8 with one float32
scale per output channel. The ONNX graph refers to the tensors where they lie in this file.

A head gives A and B, or, if it is vivid, the scores of colour bins, whose colours are stored too:
it is divided by the temperature of their mean when it is written, so that a softmax is all of it.
"""

import dataclasses
import json
import math
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kh_zoo.errors import ModelError

FORMAT = 1
LIGHTNESS_SCALE, LIGHTNESS_OFFSET = 1 / 50, -1.0
"""What a trunk of the input `"scaled"` sees: `L * LIGHTNESS_SCALE + LIGHTNESS_OFFSET`, -1..1."""
AB_SCALE = 50.0
"""CIELAB units of A and B per unit of a head's output."""
BINS = 313
"""Colours that a vivid head scores."""
VIVID = "-vivid"
"""Ends the name of the vivid head of a variant, beside its other one."""
VIVID_STRIDE = 4
"""Pixels per cell of the map that a vivid head scores them on."""
CONFIG = "config.json"
TENSORS = "model.safetensors"
KEY = "keras_hypercolumns"
"""Key of the configuration within Keras's own `config.json`, in a repository that has that."""
CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)
POOLINGS = ("average", "max")
INPUTS = ("scaled", "gray")
ARCHITECTURES = ("vgg19_gray", "keras")
"""A trunk with heads; or any Keras model, see `keras_folder`."""

_TAP = re.compile(r"(?:conv|relu)(?P<block>[1-5])_(?P<i>[1-4])|pool(?P<pool>[1-5])")
_PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
_BYTES = {"F32": 4, "I8": 1}
# Far above what is needed, far below what could exhaust the memory.
MAX_HEADER = 1_000_000
"""Bytes, at most, of a configuration and of a table of tensors."""


@dataclasses.dataclass(frozen=True)
class Tap:
    """A feature map of the trunk."""

    name: str

    def __post_init__(self) -> None:
        match = _TAP.fullmatch(self.name)
        if match is None or int(match["i"] or 1) > CONVOLUTIONS_PER_BLOCK[self.block - 1]:
            raise ModelError(
                "`taps` should name feature maps of VGG-19: convB_I, reluB_I or poolB. "
                f"Received: {self.name!r}"
            )

    @property
    def block(self) -> int:
        """Number of the block, 1 to 5."""
        digits = re.search(r"\d", self.name)
        return int(digits[0]) if digits else 1

    @property
    def stride(self) -> int:
        """Pixels of the picture per cell."""
        stride: int = 2**self.block if self.name.startswith("pool") else 2 ** (self.block - 1)
        return stride

    @property
    def channels(self) -> int:
        """Number of channels."""
        return CHANNELS_PER_BLOCK[self.block - 1]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says."""

    pooling: str
    size: int
    """Short side, in pixels, of the copy of a picture that colours are predicted on."""
    heads: dict[str, tuple[str, ...]]
    """Taps of each variant, in the order of its channels."""
    input: str = "scaled"
    """What the trunk sees: `"scaled"`, L in -1..1, or `"gray"`, the sRGB grey value, 0..255."""
    vivid: tuple[str, ...] = ()
    """Those of the heads that score colour bins."""

    def to_json(self) -> str:
        """Return the text of `config.json`."""
        fields = dataclasses.asdict(self)
        if not self.vivid:
            # As before there were such heads, for whoever reads it with an older version.
            del fields["vivid"]
        return json.dumps({"format": FORMAT, "architecture": "vgg19_gray", **fields}, indent=2)

    @property
    def variants(self) -> tuple[str, ...]:
        """The heads, without those that are the vivid ones of others."""
        beside = {f"{head}{VIVID}" for head in self.heads} & set(self.vivid)
        return tuple(head for head in self.heads if head not in beside)

    def vivid_head(self, head: str) -> str | None:
        """Return the name of the vivid head of a variant, which may be that head itself."""
        found = (name for name in (head, f"{head}{VIVID}") if name in self.vivid)
        return next(found, None)

    def layers(self, heads: Iterable[str]) -> list[str]:
        """Names of the trunk's layers that `heads` need, in order: convolutions and poolings."""
        taps = {tap for head in heads for tap in self.heads[head]}
        order, last = [], 0
        for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK, start=1):
            for i in range(1, convolutions + 1):
                order.append(f"conv{block}_{i}")
                if {f"conv{block}_{i}", f"relu{block}_{i}"} & taps:
                    last = len(order)
            order.append(f"pool{block}")
            if f"pool{block}" in taps:
                last = len(order)
        return order[:last]

    def tensor_shapes(self, quantized: bool) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor that the file should hold, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        channels = 1
        for layer in self.layers(self.heads):
            if layer.startswith("pool"):
                continue
            outputs = Tap(layer).channels
            shapes[f"{layer}.kernel"] = (outputs, channels, 3, 3)
            shapes[f"{layer}.bias"] = (outputs,)
            if quantized:
                shapes[f"{layer}.scale"] = (outputs,)
            channels = outputs
        for head, taps in self.heads.items():
            outputs = BINS if head in self.vivid else 2
            for tap in taps:
                shapes[f"{head}.{tap}.kernel"] = (outputs, Tap(tap).channels, 1, 1)
                if quantized and head in self.vivid:
                    shapes[f"{head}.{tap}.scale"] = (outputs,)
            shapes[f"{head}.bias"] = (outputs,)
            if head in self.vivid:
                # As the convolution that makes their mean.
                shapes[f"{head}.bins"] = (2, outputs, 1, 1)
        return shapes

    def most_bytes(self) -> int:
        """Bytes of the tensors in float32, without the table before them."""
        return 4 * sum(math.prod(shape) for shape in self.tensor_shapes(False).values())


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
        return (self.path / TENSORS).resolve()

    @property
    def quantized(self) -> bool:
        """Whether the kernels of the trunk and of vivid heads are int8."""
        return any(entry.dtype == "I8" for entry in self.tensors.values())

    def parameters(self, head: str) -> int:
        """Number of parameters that one variant computes with, its trunk's among them."""
        layers = tuple(f"{layer}." for layer in self.config.layers([head]))
        return sum(
            math.prod(entry.shape)
            for name, entry in self.tensors.items()
            if name.startswith((*layers, f"{head}.")) and name.endswith((".kernel", ".bias"))
        )


def open_model_folder(path: Path) -> ModelFolder:
    """Read and check the configuration and the table of tensors, and that weights are finite.

    Raises:
        ModelError: If anything is missing, malformed, or does not fit together.
    """
    config = read_config(path / CONFIG)
    tensors = _read_header(path / TENSORS)
    folder = ModelFolder(path, config, tensors)
    expected = config.tensor_shapes(folder.quantized)
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None:
            raise ModelError(f"{path / TENSORS}: the tensor {name!r} is missing")
        if found.shape != shape:
            raise ModelError(
                f"{path / TENSORS}: the tensor {name!r} should have the shape {shape}. "
                f"Received: {found.shape}"
            )
        # Those that may be int8 have a scale beside them.
        if found.dtype == "I8" and f"{name.removesuffix('.kernel')}.scale" not in expected:
            raise ModelError(f"{path / TENSORS}: the tensor {name!r} should be float32")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ModelError(f"{path / TENSORS}: unknown tensors {unknown[:3]}")
    _check_finite(folder)
    return folder


def _check_finite(folder: ModelFolder) -> None:
    import numpy as np  # not before: `kh list` reads configurations alone

    data = np.memmap(folder.tensors_path, np.uint8, "r")
    for name, entry in folder.tensors.items():
        # A file may begin its tensors at any byte.
        values = data[entry.offset : entry.offset + entry.bytes].tobytes()
        if entry.dtype == "F32" and not np.isfinite(np.frombuffer(values, "<f4")).all():
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
    if table.get("format") != FORMAT:
        raise ModelError(
            f"{path}: should have the format {FORMAT}; a newer version of keras-hypercolumns may "
            f"read it. Received: {table.get('format')!r}"
        )
    return table


def read_json(path: Path) -> Any:
    """Read a small JSON file that may come from anywhere.

    Raises:
        ModelError: If it can't be read, is too large, or is no JSON.
    """
    path = inside(path)
    try:
        if path.stat().st_size > MAX_HEADER:
            raise ModelError(
                f"{path}: should have at most {MAX_HEADER:,} bytes, as a configuration. "
                f"Received: {path.stat().st_size:,}"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from None
    except RecursionError:
        raise ModelError(f"{path}: is nested too deep for a configuration") from None
    except ValueError:
        raise ModelError(f"{path}: is not a JSON file") from None


def inside(path: Path) -> Path:
    """Return `path`, a file of a model folder, after checking that it is no link out of it.

    In the Hub's cache every file is a link to the `blobs` of its repository.

    Raises:
        ModelError: If it leads elsewhere.
    """
    folder, real = path.parent.resolve(), path.resolve()
    blobs = folder.parent.parent / "blobs"
    if real.parent != folder and not (folder.parent.name == "snapshots" and real.parent == blobs):
        raise ModelError(f"{path}: should be a file, not a link that leads out of its folder")
    return path


def read_config(path: Path) -> ModelConfig:
    """Read the configuration of a trunk with heads.

    Raises:
        ModelError: If it can't be read, or is none.
    """
    table = read_table(path)
    if table["architecture"] != "vgg19_gray":
        raise ModelError(
            f"{path}: is a Keras model of its own, without a trunk and heads as the catalogue's "
            "have; `kh_zoo.load_model` opens it, and `kh colorize` with it"
        )
    fields = {key: value for key, value in table.items() if key not in ("format", "architecture")}
    # Older files lack them.
    fields.setdefault("input", "scaled")
    fields.setdefault("vivid", [])
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    if set(fields) != names:
        raise ModelError(
            f"{path}: should have the keys {sorted(names)}. Received: {sorted(fields)}"
        )
    if fields["pooling"] not in POOLINGS:
        raise ModelError(f"{path}: `pooling` should be one of {POOLINGS}")
    if fields["input"] not in INPUTS:
        raise ModelError(
            f"{path}: `input` should be one of {INPUTS}. Received: {fields['input']!r}"
        )
    size = fields["size"]
    if not isinstance(size, int) or not 16 <= size <= 4096:
        raise ModelError(f"{path}: `size` should be 16 to 4096. Received: {size!r}")
    heads = fields["heads"]
    if not isinstance(heads, dict) or not heads:
        raise ModelError(f"{path}: `heads` should hold at least one variant")
    for head, taps in heads.items():
        if not isinstance(taps, list) or not taps or len(set(map(str, taps))) != len(taps):
            raise ModelError(f"{path}: `heads` should list the taps of {head!r}, none twice")
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", head) or _TAP.fullmatch(head):
            raise ModelError(f"{path}: {head!r} is no name for a variant")
        for tap in taps:
            Tap(str(tap))
    vivid = fields["vivid"]
    if not isinstance(vivid, list) or any(vivid.count(head) > 1 for head in vivid):
        raise ModelError(f"{path}: `vivid` should list some of the heads, none twice")
    for head in vivid:
        if not isinstance(head, str) or head not in heads:
            raise ModelError(
                f"{path}: `vivid` should list some of {list(heads)}. Received: {head!r}"
            )
    fields["vivid"] = tuple(vivid)
    fields["heads"] = {head: tuple(taps) for head, taps in heads.items()}
    return ModelConfig(**fields)


def _read_header(path: Path) -> dict[str, TensorEntry]:
    """Read the table of tensors of a safetensors file, and check that it is sound."""
    path = inside(path)
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if start.startswith(_PICKLES):
                raise ModelError(
                    f"{path}: is a pickle or an archive, which could run code when it is read; "
                    "only safetensors files are"
                )
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, total - 8):
                raise ModelError(f"{path}: is not a whole safetensors file")
            table = json.loads(file.read(length))
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
