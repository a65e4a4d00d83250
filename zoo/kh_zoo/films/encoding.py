"""How the frames of a film are encoded."""

import dataclasses
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags

from kh_zoo.errors import OutputError
from kh_zoo.films.film import Film
from kh_zoo.films.kinds import CODECS, FORMATS
from kh_zoo.films.ordinary_priority import ordinary_priority

QUALITY = 65
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "ffv1": "ffv1"}
_OPTIONS = {
    "h264": {"preset": "medium"},
    "hevc": {"preset": "medium", "x265-params": "log-level=none"},
    "av1": {"preset": "8"},
    "ffv1": {"level": "3", "slicecrc": "1"},
}
_WORST = {"h264": 51, "hevc": 51, "av1": 63}
"""The constant rate factor of quality 0; that of 100 is 0."""
_DEPTHS = (8, 10, 12)


@dataclasses.dataclass(frozen=True)
class Encoding:
    """All that an encoder is told. Of the same, the same packets come from the same frames."""

    codec: str
    format: str
    """Of the pixels."""
    options: dict[str, str]
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    tags: dict[str, int]
    field_order: int
    interlaced: bool

    @classmethod
    def of(
        cls, film: Film, suffix: str, codec: str | None = None, quality: int | None = None
    ) -> "Encoding":
        """Choose for a film.

        Args:
            film: The film.
            suffix: Of the file to write.
            codec: One of `CODECS`; by default H.264, or for more than 8 bits HEVC, in AVI FFV1.
            quality: 1..100, `QUALITY` by default.

        Raises:
            OutputError: The codec is not known, not lossy, or not for this size.
        """
        deep = "ffv1" if suffix == ".avi" else "hevc"
        codec = codec or ("h264" if film.bits <= 8 else deep)
        if codec not in CODECS:
            raise OutputError(f"`codec` should be one of {', '.join(CODECS)}. Received: {codec!r}")
        options = dict(_OPTIONS[codec])
        if codec == "ffv1":
            if quality is not None:
                raise OutputError(
                    f"`quality` is not for 'ffv1', which loses nothing. Received: {quality}"
                )
        else:
            factor = _WORST[codec] * (1 - (QUALITY if quality is None else quality) / 100)
            options["crf"] = f"{factor:.0f}"
        pixels, context = film.first.pixels, film.stream.codec_context
        return cls(
            codec=codec,
            format=_format(film, codec),
            options=options,
            width=film.width,
            height=film.height,
            time_base=film.time_base,
            rate=film.rate,
            aspect=film.aspect,
            tags={
                "color_range": 2 if film.full_range else 1,
                "colorspace": film.matrix,
                # What is not said stays so.
                "color_primaries": pixels.color_primaries,
                "color_trc": pixels.color_trc,
            },
            field_order=context.field_order,
            interlaced=film.interlaced,
        )

    @property
    def bits(self) -> int:
        """Of a sample."""
        return int(self.format[7:9] or 8)

    def context(self) -> av.VideoCodecContext:
        """An encoder, open."""
        context = av.CodecContext.create(_ENCODERS[self.codec], "w")
        assert isinstance(context, av.VideoCodecContext)
        self._prepare(context)
        with ordinary_priority():
            context.open()
        return context

    def add_to(self, container: av.container.OutputContainer, suffix: str) -> av.VideoStream:
        """Add a stream for packets that such an encoder has made.

        Raises:
            OutputError: There is no place for them in this kind of file.
        """
        try:
            stream = container.add_stream(_ENCODERS[self.codec], rate=self.rate)
        except ValueError as error:
            raise OutputError(
                f"`codec` {self.codec!r} can't be in a file of the kind {suffix}: write .mkv, or "
                "take another one"
            ) from error
        assert isinstance(stream, av.VideoStream)
        self._prepare(stream.codec_context)
        stream.time_base = self.time_base
        if self.codec == "hevc" and suffix != ".mkv":
            stream.codec_context.codec_tag = "hvc1"  # which Apple's players want
        return stream

    def _prepare(self, context: av.VideoCodecContext) -> None:
        context.width, context.height, context.pix_fmt = self.width, self.height, self.format
        context.time_base, context.framerate = self.time_base, self.rate
        if self.aspect:
            context.sample_aspect_ratio = self.aspect
        for name, value in self.tags.items():
            setattr(context, name, value)
        context.field_order = self.field_order
        # So packets are in the order of the frames, in AVI too, and a segment ends where it does.
        context.max_b_frames = 0
        context.flags |= Flags.global_header
        if self.interlaced and self.codec == "h264":
            # So each frame says so, and players make two pictures of it. The other codecs have no
            # such mode here, and leave it to the file.
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.options = dict(self.options)

    def key(self) -> dict[str, Any]:
        """For telling whether segments are of this encoding."""
        values = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        return values | {"versions": str(av.library_versions)}


def _format(film: Film, codec: str) -> str:
    """The one nearest to the film's that the encoder has."""
    formats = {format.name for format in av.Codec(_ENCODERS[codec], "w").video_formats or ()}
    name = film.first.pixels.format.name.replace("yuvj", "yuv").replace("yuva", "yuv")
    own = name[:7] if name.startswith(("yuv420p", "yuv422p", "yuv444p")) else "yuv420p"
    if codec == "ffv1" and not name.startswith("yuv"):
        own = "yuv444p"
    # Half a pixel has no colour of its own there.
    odd = codec != "ffv1" and (film.width % 2 or film.height % 2)
    samplings = ["yuv444p"] if odd else [own, "yuv420p"]
    enough = [depth for depth in _DEPTHS if depth >= film.bits]
    depths = [*enough, *(depth for depth in reversed(_DEPTHS) if depth < film.bits)]
    for depth in depths:
        for sampling in samplings:
            format = sampling if depth == 8 else f"{sampling}{depth}le"
            if format in formats:
                return format
    raise OutputError(
        f"`codec` {codec!r} can't hold {film.width} x {film.height} pixels: take 'h264' or 'ffv1'"
    )


def check_place(encoding: Encoding, target: Path) -> None:
    """Refuse a codec that can't be in a file, before there is a frame to put into it.

    Raises:
        OutputError: So it is.
    """
    suffix = target.suffix.lower()
    with av.open(io.BytesIO(), "w", format=FORMATS[suffix]) as container:
        encoding.add_to(container, suffix)


def check_target(source: Path, target: Path) -> None:
    """Refuse an output that can't be written.

    Raises:
        OutputError: Its suffix is none of `FORMATS`, or it is no place for this film.
    """
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"`output` should be a folder, or a file name that ends in one of "
            f"{', '.join(FORMATS)}. Received: {target}"
        )
    if suffix == ".avi" and source.suffix.lower() != ".avi":
        raise OutputError(
            f"`output` should be .mkv or .mp4: AVI has no timestamps. Received: {target}"
        )
