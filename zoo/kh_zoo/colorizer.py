"""The way from a grey picture file to a coloured one."""

import math
import numbers
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
import pyvips
from PIL import Image

from kh_zoo.catalog.find import find, no_vivid_head, open_source, pull_source, vivid_head
from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.engines import (
    DEFAULT_DEVICE,
    DEFAULT_ENGINE,
    Engine,
    check_device,
    check_keras_engine,
    create_engine,
)
from kh_zoo.engines.predict import predict_ab
from kh_zoo.errors import EngineError, ModelError, OutputError
from kh_zoo.forked import check_fork
from kh_zoo.networks.model_folder import CONFIG, KERAS, read_table
from kh_zoo.networks.working_size import MULTIPLE, working_size
from kh_zoo.pictures.joining import gray, join
from kh_zoo.pictures.output import Output, with_alpha
from kh_zoo.pictures.picture import Picture, unreadable
from kh_zoo.pictures.strips import StripSource

Content = bytes | bytearray | memoryview | BinaryIO
"""What is in a picture file, or such a file, open for reading."""
_WRITTEN = {"HSV": "RGB", "La": "LA", "RGBa": "RGBA"}
"""What Pillow's modes become that TIFF has no place for."""


class Colorizer:
    """Colours picture files with an engine.

    (`keras_hypercolumns.colorizer`, in small letters, builds the network itself.)

    The picture's lightness is kept at full size. Its colour is predicted on a copy of bounded size
    and brought up along the edges of the lightness, so that memory does not grow with the picture.

    Example:

    >>> from kh_zoo import Colorizer
    >>> colorizer = Colorizer("lite")
    >>> notes = colorizer.colorize_file("examples/coffee.jpg", "coffee.color.jpg")
    >>> image = colorizer.colorize("coffee.color.jpg")
    >>> image.width, image.height, image.bands
    (600, 400, 3)

    Args:
        model: Name of a variant; the path of a model or run folder, with `/VARIANT` behind it where
            it holds several; or `owner/repo[@revision]` on the Hugging Face Hub, which is fetched
            unless it is in the cache. Loaded once, for any number of pictures. Or
            an engine that is ready: an object with `predict_ab(lightness)`, see `Engine`, that is
            given heights and widths which are multiples of 16.
        engine: What computes, where `model` is a name or a path: `"onnx"`, `"keras"`, or the name
            of an engine of a plugin. Defaults to `None`: `"onnx"`, or `"keras"` for a Keras model
            of its own, which runs on nothing else.
        device: What it computes on: `"cpu"`; `"gpu"`, the first one; `"gpu:1"`, the second one; or
            `"auto"`, the first GPU that the engine can use, or else the CPU. Colours differ in
            rounding between devices. An engine that is ready has its own.
        size: Short side of the copy on which colour is predicted, in pixels, rounded to a multiple
            of 16. A picture is not enlarged to it, only up to 16 x 16. Defaults to `None`: what
            the model says. An engine does not say it.
        saturation: Factor on the predicted A and B: 1 leaves them, 0 is grey.
        vivid: Take the model's vivid head, which chooses among colours where the other takes
            their mean.

    Raises:
        VariantError, ModelError, EngineError: There is no such model, engine or device, or the
            model has no vivid head.
        HubError: The model is to be pulled, and the Hub can't be reached, or refuses.
        ValueError: `size` is below 16, or `saturation` is negative.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Engine = DEFAULT_VARIANT,
        *,
        engine: str | None = None,
        device: str = DEFAULT_DEVICE,
        size: int | None = None,
        saturation: float = 1.0,
        vivid: bool = False,
    ) -> None:
        check_device(device)
        if isinstance(model, (str, os.PathLike)):
            source = pull_source(find(model))
            path = Path(source.folder or "")
            table = read_table(path / CONFIG)
            if table["architecture"] == KERAS:
                if vivid:
                    raise no_vivid_head(path)
                self.engine, own = _keras_engine(path, engine, device)
                size = own if size is None else size
                if size is None:
                    raise ModelError(
                        f"{path}: does not say which size it predicts at: it may be no colorizer; "
                        "if it is one, save it with `save_model(model, path, size=256)`, or give "
                        "`size`. Received: None"
                    )
            else:
                folder, head = open_source(source, table)
                head = vivid_head(folder, head) if vivid else head
                self.engine = create_engine(engine or DEFAULT_ENGINE, folder, head, device)
                size = folder.config.size if size is None else size
        elif vivid:
            raise ValueError(
                "`vivid` should be False for an engine, which has one head. Received: True"
            )
        else:
            self.engine = model
        _check(size, saturation)
        assert size is not None
        self.size = size
        self.saturation = saturation
        self._process = os.getpid()

    @overload
    def colorize(self, picture: str | os.PathLike[str] | Content) -> pyvips.Image: ...

    @overload
    def colorize(self, picture: Image.Image) -> Image.Image: ...

    @overload
    def colorize(self, picture: np.ndarray) -> np.ndarray: ...

    def colorize(
        self, picture: str | os.PathLike[str] | Content | Image.Image | np.ndarray
    ) -> pyvips.Image | Image.Image | np.ndarray:
        """Colour a picture, for use in Python.

        Example:

        >>> import numpy as np
        >>> from kh_zoo import Colorizer
        >>> Colorizer("lite").colorize(np.full((40, 60), 128, "uint8")).shape
        (40, 60, 3)

        Args:
            picture: Path of the picture, see `Picture`; the bytes of such a file, or the file, open
                for reading in binary; an image of Pillow; or an array of uint8 or uint16, `(height,
                width)` or `(height, width, channels)` with grey, grey and alpha, RGB or RGBA.

        Returns:
            sRGB as displayed (EXIF orientation applied), of 8 bits, or of 16 where the picture has
            them, with alpha if it has it; in memory. Of a path, bytes or a file an image of pyvips,
            whose `numpy()` is an array; of an image of Pillow such a one, of 8 bits; of an array
            an array.

        Raises:
            PictureError: The picture can't be read.
            ValueError: `picture` is an array of another kind, or something else.
        """
        if isinstance(picture, (str, os.PathLike)):
            return self._in_memory(Path(picture))
        # As a file: what can be wrong with a picture is found in one place.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture"
            if isinstance(picture, Image.Image):
                known = _WRITTEN.get(picture.mode, picture.mode)
                picture.convert(known).save(path, "TIFF")
                return Image.fromarray(self._in_memory(path).colourspace("srgb").numpy())
            if isinstance(picture, bytes | bytearray | memoryview) or hasattr(picture, "read"):
                content = picture.read() if hasattr(picture, "read") else picture
                if isinstance(content, str):
                    raise ValueError(
                        "`picture` should be a file that is open in binary, as by "
                        f"`open(path, 'rb')`. Received: {picture!r}"
                    )
                path.write_bytes(content)
                return self._in_memory(path)
            _write_array(np.asarray(picture), path)
            return np.asarray(self._in_memory(path).numpy())

    def _in_memory(self, path: Path) -> pyvips.Image:
        picture = Picture(path)
        joined, alpha = self._colorize(picture, picture.sixteen_bit)
        with joined:
            image = with_alpha(joined.image, alpha) if alpha else joined.image
            try:
                return image.copy_memory()
            except pyvips.Error as error:
                raise joined.error or unreadable(error) from error

    def colorize_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        quality: int | None = None,
        compare: bool = False,
    ) -> tuple[str, ...]:
        """Colour a picture file into another, which appears whole or not at all.

        Args:
            source: Path of the picture; see `Picture`.
            target: Path of the output, which replaces a file that is there; see `Output`. EXIF,
                XMP, IPTC and resolution are kept, and 16 bits where both files can hold them.
            quality: Of JPEG, WebP and AVIF, 1..100.
            compare: Put the grey picture to the left of the coloured one.

        Returns:
            What was not taken from the file, further pages or frames, colour; and what of its
            metadata the output's format has no place for. Mostly empty for a grey picture.

        Raises:
            PictureError: `source` can't be read.
            PredictionError: The model predicts what is no colour.
            OutputError: `target` can't be written, has an unknown suffix, or is `source`.
        """
        picture = Picture(source)
        output = Output(target, source, quality)
        sixteen_bit = picture.sixteen_bit and output.sixteen_bit
        joined, alpha = self._colorize(picture, sixteen_bit)
        with joined:
            rgb = joined.image
            if compare:
                rgb = gray(picture.full()[0], sixteen_bit).join(rgb, "horizontal")
                alpha = alpha and alpha.join(alpha, "horizontal")
            try:
                lost = output.write(rgb, alpha, picture.metadata())
            except OutputError:
                if joined.error:
                    raise joined.error from None
                raise
        return (*picture.notes, *lost)

    def _colorize(
        self, picture: Picture, sixteen_bit: bool
    ) -> tuple[StripSource, pyvips.Image | None]:
        """Colour and alpha at full size; what is predicted is predicted here."""
        check_fork(self._process)
        small = picture.small_lightness(*working_size(picture.width, picture.height, self.size))
        ab = predict_ab(self.engine, small) * self.saturation
        lightness, alpha = picture.full()
        if alpha is not None:
            # Each is read from top to bottom at a pace of its own: so the file is opened for both.
            alpha = picture.full()[1]
        return join(lightness, small, ab, sixteen_bit), alpha


def _check(size: object, saturation: object) -> None:
    if not isinstance(size, numbers.Integral) or size < MULTIPLE:
        raise ValueError(
            f"`size` should be a whole number of at least {MULTIPLE} pixels. Received: {size!r}"
        )
    if not isinstance(saturation, numbers.Real) or not 0 <= float(saturation) < math.inf:
        raise ValueError(f"`saturation` should be 0 or more. Received: {saturation!r}")


def _write_array(pixels: np.ndarray, path: Path) -> None:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    kinds = (np.dtype(np.uint8), np.dtype(np.uint16))
    wrong = pixels.dtype not in kinds or pixels.ndim not in (2, 3) or not 1 <= channels <= 4
    if wrong or pixels.size == 0:
        raise ValueError(
            "`picture` should be a path, the bytes of a file, a file, an image of Pillow, or an "
            "array of uint8 or uint16, `(height, width)` or `(height, width, channels)` with 1 to "
            f"4 channels. Received: {pixels.dtype} {pixels.shape}"
        )
    spaces = ("b-w", "srgb") if pixels.dtype == np.uint8 else ("grey16", "rgb16")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    image.copy(interpretation=spaces[channels > 2]).tiffsave(str(path))


def _keras_engine(path: Path, engine: str | None, device: str) -> tuple[Engine, int | None]:
    """Load a Keras model of its own; return it with the size that it predicts at."""
    check_keras_engine(engine)
    try:
        from kh_zoo.engines.keras_engine import KerasEngine
        from kh_zoo.networks.keras_folder import check_keras_folder
        from kh_zoo.with_keras.keras_model import build_keras_model
    except ImportError as error:
        raise EngineError(f"`engine` 'keras' can't be used: {error}") from error
    folder = check_keras_folder(path)
    return KerasEngine(lambda: build_keras_model(folder), device), folder.size
