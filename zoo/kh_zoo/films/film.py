"""A film file that is read: its frames one after the other, and what it says of itself."""

import os
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange

from kh_zoo.errors import PictureError
from kh_zoo.films.pixels import default_matrix
from kh_zoo.shown import counted

_MAJOR = int(av.__version__.partition(".")[0])
AS_BYTES: dict[str, Any] = {"metadata_errors": "surrogateescape"} if _MAJOR < 19 else {}
"""So that metadata in any encoding stay what they are; PyAV 19 does it by itself."""
_UNSPECIFIED = 2
_HDR = {16: "PQ", 18: "HLG"}
"""Numbers of transfer functions, `AVColorTransferCharacteristic`."""
_SHORT = Fraction(1, 2)
"""A film that ends so many seconds before it says is one that was cut short."""


class FilmFrame(NamedTuple):
    """A decoded frame and when it is shown, in units of the film's `time_base`."""

    pixels: av.VideoFrame
    pts: int
    duration: int


class Film:
    """A film: its header is read, and its first frame, which says what the header does not.

    Args:
        path: A film of any kind that FFmpeg reads.

    Raises:
        PictureError: There is no film to be read in the file, or one in HDR. The message is the
            reason alone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.container = open_film(self.path)
        self.notes: list[str] = []
        self.count = 0
        """Frames that were decoded."""
        self.damaged = 0
        """Packets that could not be decoded."""
        self.broken = ""
        """Why reading ended before the end of the file."""
        stream = self.container.streams.best("video")
        cover = av.stream.Disposition.attached_pic
        if not isinstance(stream, av.VideoStream) or stream.disposition & cover:
            self.container.close()
            raise PictureError("there is no film in it, only sound or data")
        self.stream = stream
        stream.thread_type = "AUTO"
        # From PyAV 19 on they are rationals of its own, and 0 where they are unknown.
        self.time_base = Fraction(stream.time_base or Fraction(1, 90000))
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self._frames = self._decode()
        try:
            self.first = next(self._frames)
        except StopIteration:
            reason = self.broken or "no frame of it can be decoded"
            self.container.close()
            raise PictureError(f"damaged or cut short ({reason})") from None
        pixels = self.first.pixels
        if pixels.color_trc in _HDR:
            self.container.close()
            raise PictureError(
                f"HDR ({_HDR[pixels.color_trc]}), whose lightness is not that of usual screens: "
                "bring it to SDR first, such as by FFmpeg's filters zscale and tonemap"
            )
        self.interlaced = pixels.interlaced_frame
        self.width, self.height = pixels.width, pixels.height
        self.full_range = pixels.color_range == ColorRange.JPEG or (
            pixels.format.name.startswith(("yuvj", "gray")) and pixels.color_range == 0
        )
        tagged = pixels.colorspace not in (0, _UNSPECIFIED)  # 0 is RGB
        self.matrix = pixels.colorspace if tagged else default_matrix(self.height)
        self.bits = max(component.bits for component in pixels.format.components)
        self.aspect = Fraction(stream.sample_aspect_ratio or 0) or None
        matrix: Any = pixels.side_data.get("DISPLAYMATRIX")
        self.display_matrix = None if matrix is None else np.frombuffer(matrix, "<i4").tolist()
        # To see it upright: so many quarters, against the clock.
        self.quarters = round(pixels.rotation / 90) % 4

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._frames.close()
        self.container.close()

    @property
    def total(self) -> int | None:
        """About how many frames there are."""
        if self.stream.frames:
            return self.stream.frames
        return round(self.seconds * self.rate) if self.seconds else None

    @property
    def seconds(self) -> Fraction:
        """How long it says that it is; 0 if it doesn't."""
        return Fraction(self.container.duration or 0, av.time_base)

    def frames(self) -> Iterator[FilmFrame]:
        """All frames, from the first; to be taken once. What can't be decoded is passed over."""
        yield self.first
        yield from self._frames

    def why_short(self, end: Fraction) -> str:
        """Why not all could be read, if so.

        Args:
            end: Until when there was something to be read, in seconds.
        """
        start = Fraction(self.container.start_time or 0, av.time_base)
        reasons = [self.broken] if self.broken else []
        if self.container.format.name == "avi" and self.count < self.stream.frames:
            # Its length is that of the file, whatever the header says.
            reasons.append(f"{self.count} of {self.stream.frames} frames are there")
        elif self.seconds and end - start < self.seconds - _SHORT:
            reasons.append(f"{float(end - start):.1f} s of {float(self.seconds):.1f} s are there")
        if reasons:
            return f"cut short ({', '.join(reasons)}): what could be read is coloured"
        if self.damaged:
            frames = counted(self.damaged, "frame")
            return f"damaged ({frames} can't be decoded): the others are coloured"
        return ""

    def _decode(self) -> Generator[FilmFrame, None, None]:
        last, step = None, max(1, round(1 / (self.rate * self.time_base)))
        for packet in packets(self.container, self.stream, self._break):
            try:
                decoded = self.stream.codec_context.decode(packet if packet.size else None)
            except av.FFmpegError:
                self.damaged += 1
                continue
            for frame in decoded:
                pts = frame.pts if frame.pts is not None else frame.dts
                if pts is None:
                    pts = 0 if last is None else last + step
                elif last is not None and pts <= last:
                    pts = last + 1  # of a file that goes back in time
                last = pts
                self.count += 1
                yield FilmFrame(frame, pts, frame.duration or step)

    def _break(self, reason: str) -> None:
        self.broken = reason


def open_film(path: Path) -> av.container.InputContainer:
    """Open a film file of any name.

    Raises:
        PictureError: It is not there, or no film.
    """
    try:
        if path.stat().st_size == 0:
            raise PictureError("the file is empty (0 bytes)")
        # A name with a colon in it is no protocol.
        container: av.container.InputContainer = av.open(f"file:{path}", **AS_BYTES)
    except av.FFmpegError as error:
        raise PictureError(
            f"not a film, or of an unknown format, or cut short ({error.strerror})"
        ) from error
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error
    return container


def packets(
    container: av.container.InputContainer,
    stream: av.stream.Stream | None,
    on_break: Callable[[str], None],
) -> "Iterator[av.Packet[Any]]":
    """The packets of a file, or of a stream of it, and empty ones at the end.

    Args:
        on_break: Called with the reason if the rest of the file can't be read.
    """
    source = container.demux(stream) if stream else container.demux()
    try:
        yield from source
    except av.FFmpegError as error:
        on_break(error.strerror or str(error))
        if stream:
            last = av.Packet()
            last.stream = stream
            yield last
