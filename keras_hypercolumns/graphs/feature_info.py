"""What the feature maps of a model are: channels, stride and receptive field."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from keras_hypercolumns.choices import nearest
from keras_hypercolumns.graphs.model_graph import (
    Output,
    calls_of,
    check_functional,
    is_functional,
    named_outputs,
    outputs_by_name,
    unfolded,
)
from keras_hypercolumns.graphs.reach import Reach, Reaches, depends_on_size, probed, through
from keras_hypercolumns.layers.axes import (
    Center,
    Stride,
    centers_of_axes,
    joined_center,
    plain_stride,
    strides_of_axes,
)


@dataclass(frozen=True)
class FeatureInfo:
    """What a feature map is: its channels, and how its cells lie over the pixels of the input.

    Example:

    >>> from keras_hypercolumns import FeatureInfo
    >>> FeatureInfo(channels=512, stride=16, receptive_field=252).stride
    16
    >>> info = FeatureInfo(channels=8, stride=2, receptive_field=3, center=(1.0, 0.0))
    >>> info.center_at(64), info.center_at(65)
    (1.0, 0.0)

    Args:
        channels: Number of channels.
        stride: Pixels of the input from one cell to the next; a pair, down and across, where they
            differ.
        receptive_field: Side of the square of input pixels that a cell can depend on (the longer
            side where it is no square). `None` where it isn't known.
        center: Place of the centre of the first cell's receptive field, in pixels of the input,
            whose first pixel has its centre at 0. The hypercolumn
            layers take it in `centers`. It is (stride - 1) / 2 in VGG and ConvNeXt, 0 in ResNet,
            and stride - 1 in MobileNet and EfficientNet, which pad at the end only where they
            reduce. Where it depends on the size, since padding "same" does at a stride, it is a
            tuple: a height or width of n pixels has `center[n % len(center)]`. Where it differs
            down and across it is a pair of such tuples. `None` where it isn't known.
    """

    channels: int
    stride: Stride
    receptive_field: int | None
    center: Center | None = None

    def center_at(self, size: int, axis: int = 0) -> float | None:
        """Return the centre in a picture whose height, or width, is `size` pixels.

        `axis` is 0 for down and 1 for across, where they differ.
        """
        if self.center is None:
            return None
        centers = centers_of_axes(self.center)[axis]
        return centers[size % len(centers)]


def feature_info(model: keras.Model, taps: Iterable[str] | None = None) -> dict[str, FeatureInfo]:
    """Tell channels, stride, receptive field and centre of maps, without running the model.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import feature_info
    >>> x = picture = keras.Input((None, None, 3), name="picture")
    >>> x = keras.layers.Conv2D(8, 3, padding="same", data_format="channels_last", name="conv")(x)
    >>> x = keras.layers.MaxPooling2D(2, data_format="channels_last", name="pool")(x)
    >>> model = keras.Model(picture, x)
    >>> feature_info(model)["pool"]
    FeatureInfo(channels=8, stride=2, receptive_field=4, center=0.5)
    >>> {tap: info.stride for tap, info in feature_info(model).items()}
    {'picture': 1, 'conv': 1, 'pool': 2}

    The receptive field is the theoretical one, by these rules:

    - Where paths join, it is the least square that holds the fields of all of them. Its centre is
      that of the widest path, unless a narrower one sees beyond it, far to one side.
    - What has no place doesn't count: a global pooling lets every pixel act on every other, so
      squeeze-and-excite would make every field infinite. The field told is that of the paths
      that keep their place. Likewise the statistics of normalisation layers count as constants.
    - Behind an upsampling the fields of neighbouring cells differ; it is the least square that
      holds each of them, around the middle of the pixels that they stand for.
    - Padding "same" depends on the size where the stride is not 1: an odd size moves the centre.
      It is that of the model's own height and width where they are known, else one for each
      remainder of the size, for which the layers look it up.
    - A layer of your own is looked into, where its `call` can be run on symbolic tensors.
    - It is `None` behind what is none of Keras's convolutions, poolings, paddings, croppings,
      upsamplings, merges and layers that work on each place alone: attention, a `Lambda`. The
      stride is found there too, from the shapes that the layer computes.

    Args:
        model: A functional or a built Sequential model. Its height and width may be unknown.
        taps: Names of layers that give a 4D map; one in a nested model is `"inner/layer"`, the
            outputs of a layer that gives several are `"layer[0]"`, `"layer[1]"` and so on. Defaults
            to `None`: every 4D map with a stride, in the order of the graph.

    Returns:
        A dict from tap to `FeatureInfo`, in the order of `taps`. In a model with several inputs
        the numbers are in pixels of the input that the map is computed from.

    Raises:
        ValueError: As `tap_extractor` does; and if a tap has no stride: it lies behind a global
            pooling, a resizing to a fixed size or a `Reshape`, or its stride is no whole number
            of pixels.

    Reference:
        - [Araujo et al., 2019](https://distill.pub/2019/computing-receptive-fields), "Computing
          Receptive Fields of Convolutional Neural Networks".
    """
    if taps is not None:
        taps = check_taps(model, taps)
    check_functional(model)
    known = _infos(model)
    if taps is None:
        return known
    for tap in taps:
        if tap not in known:
            raise ValueError(
                f"`taps` of `feature_info` should have a stride. The cells of {tap!r} don't lie "
                "over the picture at a fixed distance that is a whole number of pixels. Leave it "
                "out here, and `strides` of the hypercolumn at None: maps are then upsampled by "
                f"the ratio of the sizes. Received: {taps}"
            )
    return {tap: known[tap] for tap in taps}


def channels_format(model: keras.Model) -> str:
    """Return where the maps of a functional model have their channels, by its layers."""
    return "channels_last" if _Survey(model).channel_axis == 3 else "channels_first"


def check_taps(model: keras.Model, taps: Iterable[str]) -> tuple[str, ...]:
    """Return `taps` as a tuple, or raise a ValueError if one isn't a single 4D map of `model`."""
    check_functional(model)
    is_list = isinstance(taps, Iterable) and not isinstance(taps, str)
    names = tuple(taps) if is_list else ()
    if not names or not all(isinstance(tap, str) for tap in names) or len(set(names)) < len(names):
        raise ValueError(
            "`taps` should be a list or tuple of names of layers, at least one and none of them "
            "twice; `feature_info(model)` tells the names. "
            f"Received: {names if is_list else taps!r}"
        )
    outputs = outputs_by_name(model)
    for tap in names:
        several = [name for name in outputs if name.startswith(f"{tap}[")]
        if several:
            problem = f"has {len(several)} outputs, {several[0]!r} to {several[-1]!r}"
        elif tap not in outputs:
            raise ValueError(_unknown_tap(model, tap, outputs))
        elif len(outputs[tap]) > 1:
            problem = f"is called {len(outputs[tap])} times: its name doesn't say which is meant"
        elif len(shape := outputs[tap][0].tensor.shape) != 4:
            problem = f"gives the shape {shape}, without height and width"
        else:
            continue
        raise ValueError(
            f"`taps` should name layers that give one 4D map. Layer {tap!r} {problem}. Name a "
            f"layer before, behind or inside it. Received: {names}"
        )
    return names


def _unknown_tap(model: keras.Model, tap: str, outputs: dict[str, list[Output]]) -> str:
    inner = [name for name in outputs if name.endswith(f"/{tap}")]
    hint = f" Did you mean {inner[0]!r}?" if inner else nearest(tap, outputs)
    known = feature_info(model)
    # Paddings come last before a stride, and are not what anyone taps.
    last = {
        info.stride: (name, info)
        for name, info in known.items()
        if not isinstance(outputs[name][0].call.operation, keras.layers.ZeroPadding2D)
    }
    listed = ", ".join(
        f"{name!r} (stride {stride}, {info.channels} channels)"
        for stride, (name, info) in sorted(last.items(), key=lambda one: strides_of_axes(one[0]))
    )
    return (
        f"`taps` should name layers of model {model.name!r}.{hint} It has {len(known)} maps with a "
        f"stride, the last of each: {listed}; `feature_info(model)` tells them all. "
        f"Received: {tap!r}"
    )


def _infos(model: keras.Model) -> dict[str, FeatureInfo]:
    survey = _Survey(model)
    infos = survey.infos()
    if not survey.depends_on_size:
        return infos
    # Where cells lie depends on what the strides leave of the size. Sizes large enough for any
    # convolution without padding.
    reached = (reaches for outputs in survey.found.values() for _, reaches in outputs)
    strides = {reach.stride.numerator for reaches in reached for reach in reaches if reach}
    period = math.lcm(*strides)
    return _Survey(model, period * math.ceil(2**16 / period) + np.arange(period)).infos()


class _Survey:
    """A walk through the graph of a model that notes where the cells of each tensor lie.

    Args:
        sizes: Heights and widths of the picture that are looked at, with all the remainders by
            the strides, from 0 on. Defaults to `None`: such as all strides divide.
    """

    def __init__(self, model: keras.Model, sizes: np.ndarray | None = None) -> None:
        pictures = [x.shape for x in model.inputs if len(x.shape) == 4]
        self.picture = pictures[0] if pictures else None
        self.depends_on_size = False
        self.channel_axis = 3 if keras.config.image_data_format() == "channels_last" else 1
        self.found: dict[str, list[tuple[Any, Reaches]]] = {}
        self.walk(model, [_start(x, sizes) for x in model.inputs])

    def walk(
        self, model: keras.Function, inputs: list[Reaches], prefix: str | None = ""
    ) -> list[Reaches]:
        """Return the reaches of what `model` gives for such inputs.

        What is in it is noted, by names with that prefix; without one it has no names.
        """
        known = dict(zip(map(id, model.inputs), inputs, strict=True))
        for call in calls_of(model):
            inner = None if prefix is None else f"{prefix}{call.operation.name}/"
            if not call.is_input:
                given = [known[id(x)] for x in call.input_tensors]
                if given:
                    self.note_channels(call.operation, given[0])
                if is_functional(call.operation):
                    reached = self.walk(call.operation, given, inner)
                else:
                    reached = self.through(call, given)
                    self.depends_on_size |= depends_on_size(call.operation)
                known.update(zip(map(id, call.outputs), reached, strict=True))
            if prefix is not None:
                for output, x in named_outputs(call, prefix).items():
                    self.found.setdefault(output, []).append((x, known[id(x)]))
        return [known[id(x)] for x in model.outputs]

    def through(self, call: Any, given: list[Reaches]) -> list[Reaches]:
        """By a rule; for a layer without one by what it does, or by the shapes that it computes."""
        reached = through(call, given)
        if reached is not None:
            return reached
        graph = unfolded(call)
        nothing: list[Reaches] = [()] * len(call.outputs)
        inside = self.walk(graph, given, None) if graph else nothing
        if all(map(any, inside)):
            return inside
        return [
            within if any(within) else outside
            for within, outside in zip(inside, probed(call, given), strict=True)
        ]

    def note_channels(self, layer: Any, reaches: Reaches) -> None:
        """Learn which axis of the picture has the channels, from what a layer takes for them."""
        axis = {"channels_last": 3, "channels_first": 1}.get(getattr(layer, "data_format", ""))
        if axis and len(reaches) == 4 and (reach := reaches[axis]) is not None:
            self.channel_axis = reach.axis

    def infos(self) -> dict[str, FeatureInfo]:
        infos = {
            name: self.info(*outputs[0])
            for name, outputs in self.found.items()
            # Empty outputs, of no picture, are what a layer doesn't give unless it is asked.
            if len(outputs) == 1 and len(shape := outputs[0][0].shape) == 4 and shape[0] != 0
        }
        return {name: info for name, info in infos.items() if info is not None}

    def info(self, x: Any, reaches: Reaches) -> FeatureInfo | None:
        """The `FeatureInfo` of a 4D tensor, or None if it has no stride."""
        places = {
            i: reach
            for i, reach in enumerate(reaches)
            if reach is not None and reach.axis != self.channel_axis
        }
        if len(places) != 2 or 0 in places:
            return self.info_from_sizes(x)
        strides = [reach.stride for reach in places.values()]
        (channel_axis,) = {1, 2, 3} - set(places)
        channels = x.shape[channel_axis]
        if any(stride.denominator != 1 for stride in strides) or channels is None:
            return None
        stride = plain_stride([int(stride) for stride in strides])
        assert stride is not None  # positive ints
        # What is known of the size of the picture leaves one of the sizes that are looked at.
        down, across = (self.at_known_size(reach) for reach in places.values())
        side = max(float((reach.last - reach.first).max()) + 1 for reach in (down, across))
        if math.isinf(side):
            return FeatureInfo(channels, stride, None)
        # Of a size that isn't square it may differ, where that of any size does not.
        center = _center(down, across)
        if _differs(center) and not _differs(any_size := _center(*places.values())):
            center = any_size
        return FeatureInfo(channels, stride, math.floor(side + 1e-6), center)

    def at_known_size(self, reach: Reach) -> Reach:
        size = self.picture[reach.axis] if self.picture else None
        if size is None or len(reach.first) == 1:
            return reach
        chosen = [size % len(reach.first)]
        return reach._replace(first=reach.first[chosen], last=reach.last[chosen])

    def info_from_sizes(self, x: Any) -> FeatureInfo | None:
        """By the ratio of the sizes of the picture and the map, where they are known."""
        axes = [axis for axis in (1, 2, 3) if axis != self.channel_axis]
        sizes = [(self.picture[axis], x.shape[axis]) for axis in axes] if self.picture else []
        # A single cell, as of squeeze-and-excite, is no map.
        if not sizes or any(None in pair or pair[1] < 2 or pair[0] % pair[1] for pair in sizes):
            return None
        stride = plain_stride([pixels // cells for pixels, cells in sizes])
        channels = x.shape[self.channel_axis]
        return FeatureInfo(channels, stride, None) if channels and stride else None


def _start(x: Any, sizes: np.ndarray | None) -> Reaches:
    """Each cell of a picture sees itself. Other inputs have no place."""
    if len(x.shape) != 4:
        return (None,) * len(x.shape)
    own = np.zeros(1 if sizes is None else len(sizes))
    return (None, *(Reach(axis, Fraction(1), own, own, sizes) for axis in (1, 2, 3)))


def _center(down: Reach, across: Reach) -> Center:
    """The centres of the first cells."""
    return joined_center(*(_fewest((reach.first + reach.last) / 2) for reach in (down, across)))


def _differs(center: Center) -> bool:
    down, across = centers_of_axes(center)
    return down != across


def _fewest(centers: np.ndarray) -> tuple[float, ...]:
    """As few as repeat themselves."""
    period = next(
        n
        for n in range(1, len(centers) + 1)
        if len(centers) % n == 0 and np.array_equal(centers[n:], centers[:-n])
    )
    return tuple(float(center) for center in centers[:period])
