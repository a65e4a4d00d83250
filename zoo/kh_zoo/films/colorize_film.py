"""The way from a grey film to a coloured one."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pyvips

from kh_zoo.colorizer import Colorizer
from kh_zoo.files.whole_files import put_in_place
from kh_zoo.films.encoding import Encoding, check_place, check_target
from kh_zoo.films.film import Film, FilmFrame
from kh_zoo.films.finish import finish
from kh_zoo.films.pixels import Lightness, Painter, display_size
from kh_zoo.films.segments import Encoded, Segments
from kh_zoo.films.steady import RADIUS, steady
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.picture import COLOR
from kh_zoo.pictures.reducing import reduced
from kh_zoo.workers.stamp import Stamp

SEGMENT = 250
"""Frames in a segment: as many as encoders put between two that stand for themselves."""


class FilmResult(NamedTuple):
    """What became of a film that is written."""

    notes: tuple[str, ...]
    """What was not taken from the file, in a few words each."""
    reason: str
    """Why not all of it could be read, if so."""
    frames: int


class _Item(NamedTuple):
    frame: FilmFrame
    small: np.ndarray


def colorize_film(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    colorizer: Colorizer,
    *,
    codec: str | None = None,
    quality: int | None = None,
    settings: dict[str, Any] | None = None,
    segment: int = SEGMENT,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> FilmResult | None:
    """Colour a film into another file, which appears whole or not at all.

    The lightness of every frame is kept, and so are sound, subtitles, chapters, timestamps,
    rotation, tags and metadata. What is finished is kept in a hidden folder beside the output,
    until that has its name: a run that was ended is gone on with, and gives the same frames.

    Example:

    >>> from kh_zoo import Colorizer
    >>> from kh_zoo.films.colorize_film import colorize_film
    >>> colorize_film("film.mp4", "film.color.mp4", Colorizer())  # doctest: +SKIP
    FilmResult(notes=(), reason='', frames=1440)

    Args:
        source: A film of any kind that FFmpeg reads.
        target: An .mp4, .m4v, .mov, .mkv or .avi file; one that is there is replaced.
        colorizer: What predicts the colours, with its size and saturation.
        codec: `"h264"`, `"hevc"`, `"av1"` or `"ffv1"`. Defaults to `None`: H.264, or for
            more than 8 bits HEVC, in AVI FFV1.
        quality: 1..100; 65, which is CRF 18 of H.264, by default. Not for FFV1, which is lossless.
        settings: What else decides on the colours, such as the model: with others of these, frames
            that an earlier run has finished are made anew.
        segment: Frames after which what is done is kept.
        on_progress: Called with the number of finished frames, and of all, if that is known.
        stopped: Asked at every frame whether to end; the same call goes on from there.

    Returns:
        What is to be said of it; None if it was stopped.

    Raises:
        PictureError: There is no film in `source`, or one in HDR.
        OutputError: `target` can't be written, or not with this codec.
    """
    source, target = Path(source), Path(target)
    check_target(source, target)
    with Film(source) as film:
        encoding = Encoding.of(film, target.suffix.lower(), codec, quality)
        check_place(encoding, target)
        key = {
            **(settings or {}),
            "source": str(Stamp.of(source)),
            "size": colorizer.size,
            "saturation": colorizer.saturation,
            **encoding.key(),
        }
        with Segments(target, key, segment) as segments:
            lightness = Lightness(film.matrix, film.full_range)
            if not _encode(film, lightness, colorizer, encoding, segments, on_progress, stopped):
                return None
            if lightness.colored:
                film.notes.append(COLOR)
            if encoding.bits < film.bits:
                film.notes.append(f"{encoding.bits} bits: {encoding.codec} has no {film.bits}")
            if film.interlaced and encoding.codec in ("hevc", "av1"):
                film.notes.append(f"interlaced, which {encoding.codec} does not say: take h264")
            whole = segments.folder / f"whole{target.suffix.lower()}"
            end = finish(film, segments.read(), encoding, whole)
            put_in_place(whole, target)
            frames = segments.frames
        segments.remove()
        return FilmResult(tuple(film.notes), film.why_short(end), frames)


def _encode(
    film: Film,
    lightness: Lightness,
    colorizer: Colorizer,
    encoding: Encoding,
    segments: Segments,
    on_progress: Callable[[int, int | None], None],
    stopped: Callable[[], bool],
) -> bool:
    """Bring all frames that are not there yet into segments; False if it was stopped."""
    frames = film.frames()
    done = segments.frames
    on_progress(done, film.total)
    # They are decoded again, and coloured where they are neighbours of the next one.
    passed = max(0, done - RADIUS)
    for _ in islice(frames, passed):
        if stopped():
            return False
    painter = Painter(encoding.format, film.matrix, film.full_range, film.interlaced)
    colored = _colored(frames, film, lightness, colorizer, painter, done - passed)
    encoder: av.VideoCodecContext | None = None
    start = film.first.pts
    durations: dict[int, int] = {}

    def add(packets: list[Any]) -> None:
        for packet in packets:
            pts = packet.pts + start
            data = bytes(packet)
            segments.add(Encoded(pts, durations.pop(pts), packet.is_keyframe, data))

    for frame, pixels in colored:
        if stopped():
            return False
        encoder = encoder or encoding.context()
        durations[frame.pts] = frame.duration
        # Encoders count from nothing.
        pixels.pts, pixels.time_base = frame.pts - start, film.time_base
        add(encoder.encode(pixels))
        done += 1
        if done % segments.length == 0:
            add(encoder.encode(None))
            segments.finish()
            encoder = None
        on_progress(done, film.total)
    if encoder:
        add(encoder.encode(None))
        segments.finish()
    return True


def _colored(
    frames: Iterator[FilmFrame],
    film: Film,
    lightness: Lightness,
    colorizer: Colorizer,
    painter: Painter,
    passed: int,
) -> Iterator[tuple[FilmFrame, av.VideoFrame]]:
    """Frames with their colour, without the first `passed` ones; some are made at a time."""
    shown = display_size(film.width, film.height, film.aspect)
    size = working_size(*(shown[::-1] if film.quarters % 2 else shown), colorizer.size)

    def predicted() -> Iterator[tuple[_Item, np.ndarray, np.ndarray]]:
        for frame in frames:
            small = _reduce(lightness.of(_sized(frame.pixels, film)), film, size)
            ab = colorizer.engine.predict_ab(small) * np.float32(colorizer.saturation)
            yield _Item(frame, small), small, ab

    def paint(item: _Item, ab: np.ndarray) -> av.VideoFrame:
        full = lightness.of(_sized(item.frame.pixels, film))
        small, ab = (np.rot90(x, -film.quarters) for x in (item.small, ab))
        return painter.paint(full, small, ab)

    cores = os.cpu_count() or 1
    waiting: deque[tuple[FilmFrame, Future[av.VideoFrame]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for item, ab in islice(steady(predicted()), passed, None):
            waiting.append((item.frame, pool.submit(paint, item, ab)))
            if len(waiting) > cores:
                frame, pixels = waiting.popleft()
                yield frame, pixels.result()
        for frame, pixels in waiting:
            yield frame, pixels.result()


def _reduce(lightness: np.ndarray, film: Film, size: tuple[int, int]) -> np.ndarray:
    """The copy that is predicted on, upright."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(np.rot90(lightness, film.quarters)))
    return np.asarray(np.clip(reduced(image, *size).numpy(), 0, 100), np.float32)


def _sized(pixels: av.VideoFrame, film: Film) -> av.VideoFrame:
    """A frame of another size than the first one is brought to that."""
    if (pixels.width, pixels.height) == (film.width, film.height):
        return pixels
    return pixels.reformat(width=film.width, height=film.height)
