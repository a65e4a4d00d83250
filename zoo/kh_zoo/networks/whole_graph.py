"""A picture in, the coloured picture out: one ONNX file, for any program that runs such."""

from typing import Any

import numpy as np
from safetensors.numpy import load_file

from kh_zoo.colors.gamut import LEAST_ROOM
from kh_zoo.colors.guided_upsampling import EPSILON, RADIUS
from kh_zoo.colors.lab import RGB_FROM_XYZ, XYZ_FROM_RGB, decode_srgb
from kh_zoo.networks.model_folder import ModelFolder
from kh_zoo.networks.network import INPUT
from kh_zoo.networks.onnx_file import (
    FLOAT,
    INT32,
    INT64,
    UINT8,
    OnnxGraph,
    OnnxNode,
    OnnxTensor,
    OnnxValue,
    tensor_of,
)
from kh_zoo.networks.onnx_graph import OUTPUT, onnx_graph
from kh_zoo.networks.working_size import MAX_SQUARES, MULTIPLE

PICTURE, COLORED, SATURATION = "picture", "colored", "saturation"


def whole_graph(folder: ModelFolder, head: str, size: int | None = None) -> OnnxGraph:
    """Build the graph of all that `Colorizer` does to the pixels of a picture.

    The lightness of the picture, its small copy, the network, the guided upsampling and the gamut
    mapping, as standard operators. Results are those of `Colorizer` within one level of 255, or
    two where it decodes a large JPEG smaller.

    Example:

    >>> from kh_zoo.catalog import find_variant
    >>> from kh_zoo.networks.model_folder import open_model_folder
    >>> from kh_zoo.networks.whole_graph import whole_graph
    >>> graph = whole_graph(open_model_folder(find_variant("lite").folder), "lite")
    >>> [*graph.inputs, *graph.outputs]
    ['picture', 'saturation', 'colored']

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.
        size: Short side, in pixels, of the copy that colours are predicted on. Defaults to `None`:
            what the model says.

    Returns:
        An `OnnxGraph` with the weights inside. Input `picture`, uint8 `(height, width, 3)`
        or `(height, width, 1)`, sRGB as displayed; input `saturation`, one float32, a factor
        on the colours: 1 leaves them. Output `colored`, uint8 `(height, width, 3)`, sRGB.
    """
    return _WholeGraph(folder, head, size or folder.config.size).build()


class _WholeGraph:
    def __init__(self, folder: ModelFolder, head: str, size: int) -> None:
        self.folder, self.head, self.size = folder, head, size
        self.nodes: list[OnnxNode] = []
        self.tensors: dict[str, OnnxTensor] = {}

    def build(self) -> OnnxGraph:
        shape = self("Shape", PICTURE)
        height, width, channels = self._split(shape, 3)
        luminance, f = self.luminance(channels, self("Slice", shape, _ints(0), _ints(2)))
        lightness = self("Sub", self("Mul", f, 116.0), 16.0)
        rows, columns = self.working_size(height, width)
        small = self.small_copy(lightness, (height, width), (rows, columns))
        ab = self("Mul", self.predicted(small, rows, columns), SATURATION)
        a, b = self.upsampled(small, ab, lightness, (height, width), (rows, columns))
        channels_out = self.in_gamut(luminance, f, a, b)
        encoded = [self("Unsqueeze", self.encoded(channel), _ints(2)) for channel in channels_out]
        self("Concat", *encoded, axis=2, output=COLORED)
        inputs = {
            PICTURE: OnnxValue(UINT8, ("height", "width", "channels")),
            SATURATION: OnnxValue(FLOAT, (1,)),
        }
        outputs = {COLORED: OnnxValue(UINT8, ("height", "width", 3))}
        return OnnxGraph(self.head, tuple(self.nodes), inputs, outputs, self.tensors)

    def luminance(self, channels: str, size: str) -> tuple[str, str]:
        """Y of each pixel, and CIELAB's f of it, `(height, width)`."""
        table = decode_srgb(np.arange(256) / 255).astype(np.float32)
        light = self("Gather", table, self("Cast", PICTURE, to=INT32))
        # Behind the weights of red, green and blue that of a picture of one channel.
        weights = np.array([*XYZ_FROM_RGB[1], 1], np.float32)
        gray = self("Equal", channels, _ints(1))
        first = self("Where", gray, _ints(3), _ints(0))
        own = self("Slice", weights, first, self("Add", first, channels))
        sums = self("MatMul", light, self("Unsqueeze", own, _ints(1)))
        luminance = self("Reshape", sums, size)
        root = self("Pow", self("Max", luminance, 0.008856), 1 / 3)
        line = self("Add", self("Mul", luminance, 7.787), 16 / 116)
        return luminance, self("Where", self("Greater", luminance, 0.008856), root, line)

    def working_size(self, height: str, width: str) -> tuple[str, str]:
        """As `working_size`: rows and columns of the copy that is predicted on."""
        sides = [self("Cast", side, to=FLOAT) for side in (height, width)]
        short, long = self("Min", *sides), self("Max", *sides)
        most = float(MAX_SQUARES * self.size**2)
        squares = self("Sqrt", self("Div", most, self("Mul", short, long)))
        scale = self("Min", self("Min", self("Div", float(self.size), short), squares), 1.0)

        def rounded(side: str) -> str:
            near = self("Round", self("Div", self("Mul", side, scale), float(MULTIPLE)))
            whole = self("Floor", self("Div", side, float(MULTIPLE)))
            return self("Mul", self("Max", self("Min", near, whole), 1.0), float(MULTIPLE))

        small_short = rounded(short)
        fits = self("Floor", self("Div", self("Div", most, small_short), float(MULTIPLE)))
        small_long = self("Min", rounded(long), self("Mul", fits, float(MULTIPLE)))
        wide = self("GreaterOrEqual", width, height)
        pair = (small_short, small_long), (small_long, small_short)
        found = (self("Where", wide, across, down) for across, down in pair)
        rows, columns = (self("Cast", side, to=INT64) for side in found)
        return rows, columns

    def small_copy(self, lightness: str, full: tuple[str, str], small: tuple[str, str]) -> str:
        """L at the small size, `(rows, columns)`, as `reduced` brings it there by libvips.

        Down by means of whole pixels to between two and four times the size, then by Lanczos'
        kernel; up by Keys'.
        """
        for axis in (0, 1):
            lightness = self("Transpose", self._reduced(lightness, full[axis], small[axis]))
        return self("Clip", lightness, 0.0, 100.0)

    def _reduced(self, image: str, size: str, small: str) -> str:
        """Bring the first axis from `size` to `small`."""
        sides = (self("Cast", side, to=FLOAT) for side in (size, small))
        step = self("Div", *sides)
        block = self("Max", self("Floor", self("Div", step, 2.0)), 1.0)
        step = self("Div", step, block)
        block = self("Cast", block, to=INT64)
        less = self("Sub", self("Add", size, block), _ints(1))
        blocks = self("Div", less, block)
        support = self("Max", step, 1.0)
        beyond = self("Cast", self("Ceil", self("Mul", support, 3.0)), to=INT64)
        beyond = self("Add", beyond, _ints(1))
        # Blocks and the pixels of each; the border is continued outwards.
        place = self._range(self("Neg", beyond), self("Add", blocks, beyond))
        inside = self("Clip", place, np.int64(0), self("Squeeze", self("Sub", blocks, _ints(1))))
        pixel = self("Mul", self("Unsqueeze", inside, _ints(1)), block)
        pixel = self("Add", pixel, self._range(_ints(0), block))
        pixel = self("Min", pixel, self("Sub", size, _ints(1)))
        means = self("ReduceMean", self("Gather", image, pixel), _ints(1), keepdims=0)
        centre = self("Mul", self._floats(self._range(_ints(0), small), 0.5), step)
        # libvips has kernels for 64 places within a pixel.
        centre = self("Div", self("Round", self("Mul", self("Sub", centre, 0.5), 64.0)), 64.0)
        t = self("Sub", self._floats(place), self("Unsqueeze", centre, _ints(1)))
        cubic = self._keys(self("Abs", t))
        # Never 0, where the kernel would be 0 / 0.
        t = self("Add", self("Div", t, support), 1e-6)
        angle = self("Mul", t, np.pi)
        waves = self("Mul", self("Sin", angle), self("Sin", self("Div", angle, 3.0)))
        kernel = self("Div", self("Mul", waves, 3.0), self("Mul", angle, angle))
        kernel = self("Where", self("Less", self("Abs", t), 3.0), kernel, 0.0)
        kernel = self("Where", self("Less", step, 1.0), cubic, kernel)
        whole = self("ReduceSum", kernel, _ints(1))
        return self("MatMul", self("Div", kernel, whole), means)

    def predicted(self, small: str, rows: str, columns: str) -> str:
        """AB that the network predicts, `(1, 2, rows, columns)`."""
        least = self.folder.config.least_side(self.head)
        x = self("Unsqueeze", small, _ints(0, 1))
        if least > 1:
            sides = self("Concat", rows, columns, axis=0)
            missing = self("Max", self("Sub", _ints(least, least), sides), _ints(0))
            pads = self("Concat", _ints(0, 0, 0, 0, 0, 0), missing, axis=0)
            x = self("Pad", x, pads, mode="edge")
        self("Identity", x, output=INPUT)
        network = onnx_graph(self.folder, self.head)
        self.nodes += network.nodes
        stored = load_file(self.folder.tensors_path)
        for name, tensor in network.tensors.items():
            self.tensors[name] = tensor_of(stored[name]) if name in stored else tensor
        ab = OUTPUT
        if least > 1:
            ends = self("Concat", rows, columns, axis=0)
            ab = self("Slice", ab, _ints(0, 0), ends, _ints(2, 3))
        return ab

    def upsampled(
        self, small: str, ab: str, lightness: str, full: tuple[str, str], rows: tuple[str, str]
    ) -> list[str]:
        """A and B at full size, each `(height, width)`; as `GuidedUpsampling`."""
        guide = self("Unsqueeze", small, _ints(0, 1))
        detail = self("Sub", guide, self._mean(guide))
        spread = self("Add", self._mean(self("Mul", detail, detail)), EPSILON)
        matrices = [self._cubic(size, side) for size, side in zip(full, rows, strict=True)]
        result = []
        for channel in self._split(ab, 2, axis=1):
            product = self("Mul", detail, self("Sub", channel, self._mean(channel)))
            slope = self("Div", self._mean(product), spread)
            rest = self("Sub", channel, self("Mul", slope, guide))
            slope, rest = (self._brought_up(x, matrices) for x in (slope, rest))
            result.append(self("Add", self("Mul", slope, lightness), rest))
        return result

    def _mean(self, x: str) -> str:
        pads = _ints(0, 0, RADIUS, RADIUS, 0, 0, RADIUS, RADIUS)
        window = [2 * RADIUS + 1] * 2
        return self("AveragePool", self("Pad", x, pads, mode="edge"), kernel_shape=window)

    def _cubic(self, size: str, small: str) -> str:
        """Weights of Keys' kernel, `(size, small + 4)`: two beyond each border."""
        sides = (self("Cast", side, to=FLOAT) for side in (small, size))
        places = self("Mul", self._floats(self._range(_ints(0), size), 0.5), self("Div", *sides))
        places = self("Unsqueeze", self("Sub", places, 0.5), _ints(1))
        neighbours = self._floats(self._range(_ints(-2), self("Add", small, _ints(2))))
        return self._keys(self("Abs", self("Sub", places, neighbours)))

    def _keys(self, t: str) -> str:
        """Keys' kernel at these distances."""
        square = self("Mul", t, t)
        near = self("Add", self("Mul", square, self("Sub", self("Mul", t, 1.5), 2.5)), 1.0)
        far = self("Mul", square, self("Add", self("Mul", t, -0.5), 2.5))
        far = self("Add", self("Add", far, self("Mul", t, -4.0)), 2.0)
        far = self("Where", self("Less", t, 2.0), far, 0.0)
        return self("Where", self("Less", t, 1.0), near, far)

    def _brought_up(self, x: str, matrices: list[str]) -> str:
        x = self("Pad", x, _ints(0, 0, 2, 2, 0, 0, 2, 2), mode="edge")
        x = self("Squeeze", x, _ints(0, 1))
        down, across = matrices
        return self("MatMul", down, self("MatMul", x, self("Transpose", across)))

    def in_gamut(self, luminance: str, f: str, a: str, b: str) -> list[str]:
        """Red, green and blue in linear light, each `(height, width)`; as `lab_to_srgb_pixels`."""
        x, z = (
            self("Sub", self._from_cube_root(self("Add", f, self("Mul", c, factor))), luminance)
            for c, factor in ((a, 1 / 500), (b, -1 / 200))
        )
        ways = [
            self("Add", self("Mul", x, float(row[0])), self("Mul", z, float(row[2])))
            for row in RGB_FROM_XYZ
        ]
        least = float(LEAST_ROOM)
        above = self("Max", self("Sub", 1.0, luminance), least)
        below = self("Max", luminance, least)
        up = self("Div", self("Max", *ways), above)
        down = self("Div", self("Neg", self("Min", *ways)), below)
        shrink = self("Max", self("Max", up, down), 1.0)
        return [self("Add", self("Div", way, shrink), luminance) for way in ways]

    def _from_cube_root(self, f: str) -> str:
        bend = 6 / 29
        line = self("Mul", self("Sub", self("Min", f, bend), bend), 3 * bend**2)
        curve = self("Max", f, bend)
        return self("Add", self("Mul", self("Mul", curve, curve), curve), line)

    def encoded(self, light: str) -> str:
        """Levels of sRGB, uint8."""
        light = self("Clip", light, 0.0, 1.0)
        power = self("Pow", self("Max", light, 0.0031308), 1 / 2.4)
        curve = self("Sub", self("Mul", power, 1.055), 0.055)
        bright = self("Greater", light, 0.0031308)
        level = self("Where", bright, curve, self("Mul", light, 12.92))
        return self("Cast", self("Round", self("Mul", level, 255.0)), to=UINT8)

    def _range(self, start: Any, end: Any) -> str:
        """The whole numbers from `start` until `end`."""
        return self("Range", *(self("Squeeze", x, _ints(0)) for x in (start, end)), np.int64(1))

    def _floats(self, numbers: str, more: float = 0.0) -> str:
        return self("Add", self("Cast", numbers, to=FLOAT), more)

    def __call__(self, kind: str, *inputs: Any, output: str = "", **attributes: Any) -> str:
        """Add an operator; inputs are names, numbers and arrays. Returns the name of its output."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self._add(kind, inputs, [name], attributes)
        return name

    def _split(self, x: str, count: int, axis: int = 0) -> list[str]:
        names = [f"split_{len(self.nodes)}_{i}" for i in range(count)]
        self._add("Split", [x], names, {"num_outputs": count, "axis": axis})
        return names

    def _add(self, kind: str, inputs: Any, outputs: list[str], attributes: dict[str, Any]) -> None:
        names = [x if isinstance(x, str) else self._constant(x) for x in inputs]
        self.nodes.append(OnnxNode(kind, tuple(names), tuple(outputs), attributes))

    def _constant(self, value: Any) -> str:
        array = np.asarray(value, np.float32) if isinstance(value, float) else np.asarray(value)
        content = "_".join(map(str, array.ravel())) if array.size < 9 else f"{len(self.nodes)}"
        name = f"{array.dtype}_{array.ndim}_{content}"
        self.tensors[name] = tensor_of(array)
        return name


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)
