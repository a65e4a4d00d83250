"""The coloured frames and all else of the film become one file."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from kh_zoo.errors import OutputError
from kh_zoo.films.encoding import Encoding
from kh_zoo.films.film import AS_BYTES, Film, open_film, packets
from kh_zoo.films.kinds import FORMATS
from kh_zoo.films.ordinary_priority import ordinary_priority
from kh_zoo.films.segments import Encoded

_OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Metadata that belong to the file that was read, not to the film."""
_GAP = b"\0\0"
"""No subtitle, in MP4 and MOV: their muxer puts it in by itself, where one ends."""


def finish(film: Film, frames: Iterable[Encoded], encoding: Encoding, path: Path) -> Fraction:
    """Write the file: the frames, and every other stream of the film, packet by packet.

    Args:
        film: What is missing of it in the output is added to its notes.
        frames: In the film's order and `time_base`.
        encoding: Of the frames.
        path: Where to.

    Returns:
        Until when there is something in the film, in seconds.

    Raises:
        OutputError: The file can't be written.
    """
    try:
        with (
            open_film(film.path) as source,
            av.open(f"file:{path}", "w", format=FORMATS[path.suffix], **AS_BYTES) as output,
        ):
            return _write(film, source, frames, encoding, output, path.suffix)
    except (av.FFmpegError, OSError) as error:
        raise OutputError(f"can't write {path.name}: {error.strerror or error}") from error


def _write(
    film: Film,
    source: av.container.InputContainer,
    frames: Iterable[Encoded],
    encoding: Encoding,
    output: av.container.OutputContainer,
    suffix: str,
) -> Fraction:
    output.metadata.update(_kept(source.metadata))
    streams: dict[int, av.stream.Stream] = {}
    for stream in source.streams:
        if stream.index == film.stream.index:
            colored = encoding.add_to(output, suffix)
            colored.set_display_matrix(film.display_matrix)
            _describe(colored, stream)
        elif copy := _copy(stream, output):
            streams[stream.index] = copy
            _describe(copy, stream)
        else:
            film.notes.append(f"without {stream.type} stream {stream.index} ({_codec(stream)})")
    output.set_chapters(source.chapters())
    with ordinary_priority():
        output.start_encoding()
    ends = [Fraction(0)]
    waiting = _packets(frames, colored, film.time_base, ends)
    video = next(waiting, None)
    for packet in packets(source, None, lambda _: None):
        if packet.dts is None or not packet.time_base:
            continue
        ends.append(max(ends.pop(), _end(packet)))
        if packet.stream.index not in streams or bytes(packet) == _GAP:
            continue
        while video is not None and video.dts * film.time_base <= packet.dts * packet.time_base:
            output.mux_one(video)
            video = next(waiting, None)
        packet.stream = streams[packet.stream.index]
        output.mux_one(packet)
    while video is not None:
        output.mux_one(video)
        video = next(waiting, None)
    return ends[0]


def _packets(
    frames: Iterable[Encoded], stream: av.VideoStream, time_base: Fraction, ends: list[Fraction]
) -> Iterator[Any]:
    for frame in frames:
        packet = av.Packet(frame.data)
        packet.stream = stream
        packet.time_base = time_base
        packet.pts = packet.dts = frame.pts
        packet.duration = frame.duration
        packet.is_keyframe = frame.keyframe
        yield packet


def _end(packet: "av.Packet[Any]") -> Fraction:
    start = packet.pts if packet.pts is not None else packet.dts
    return Fraction(((start or 0) + (packet.duration or 0)) * packet.time_base)


def _copy(
    stream: av.stream.Stream, output: av.container.OutputContainer
) -> av.stream.Stream | None:
    """A stream like it in the output, if there is a place for one."""
    if stream.type == "data":  # such as timecodes, which the muxer makes itself
        return None
    try:
        return output.add_stream_from_template(stream, opaque=True)
    except ValueError:
        return None


def _describe(stream: av.stream.Stream, source: av.stream.Stream) -> None:
    stream.metadata.update(_kept(source.metadata))
    stream.disposition = source.disposition


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.lower() not in _OF_THE_FILE}


def _codec(stream: av.stream.Stream) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
