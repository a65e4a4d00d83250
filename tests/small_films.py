"""Films that are made in a moment, and what is in one."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
from scipy.ndimage import gaussian_filter

RATE = 25


class ByLightness:
    """An engine: bright is orange and dark is blue, and what it was given."""

    def __init__(self):
        self.seen = []

    def predict_ab(self, lightness):
        self.seen.append(lightness)
        return np.stack([lightness - 50, lightness - 40], axis=-1) * np.float32(0.5)


def make_film(
    path,
    frames=24,
    size=(96, 64),
    *,
    codec="ffv1",
    format="yuv420p",
    tags=(1, 1, 1, 1),
    pts=None,
    time_base=Fraction(1, RATE),
    sound=None,
    subtitles=None,
    pictures=None,
    degrees=None,
    aspect=None,
    options=None,
    container_options=None,
):
    """A grey film of something that moves, or of luma in 0..1."""
    width, height = size
    with av.open(str(path), "w", options=container_options or {}) as output:
        video = output.add_stream(codec, rate=RATE, options=options or {})
        context = video.codec_context
        context.width, context.height, context.pix_fmt = width, height, format
        video.time_base = context.time_base = time_base
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        if aspect:
            context.sample_aspect_ratio = aspect
        if degrees is not None:
            video.set_display_rotation(degrees)
        if sound:
            audio = output.add_stream(sound, rate=8000)
            audio.layout = "mono"
            audio.metadata["language"] = "deu"
        if subtitles:
            text = output.add_mux_stream(subtitles)
            text.time_base = Fraction(1, 1000)
        output.metadata.update(title="A film", comment="tested")
        for number in range(frames):
            luma = pictures[number] if pictures is not None else _scene(number, width, height)
            frame = _frame(luma, format)
            frame.pts = pts[number] if pts is not None else round(number / RATE / time_base)
            frame.time_base = time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if sound:
            wave = np.sin(np.arange(8000 * frames // RATE) / 20)[None] / 2
            planar = audio.codec_context.format.name
            wave = (wave * 32767).astype("int16") if planar == "s16" else wave.astype("float32")
            chunk = av.AudioFrame.from_ndarray(wave, planar, "mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = 8000, 0, Fraction(1, 8000)
            output.mux(audio.encode(chunk))
            output.mux(audio.encode(None))
        if subtitles:
            for number in range(2):
                line = f"line {number}".encode()
                packet = av.Packet(
                    len(line).to_bytes(2, "big") + line if subtitles == "mov_text" else line
                )
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = number * 300
                packet.duration = 200
                output.mux(packet)
    return path


def read_film(path):
    """All that a reader sees of a film, decoded and not."""
    with av.open(str(path)) as film:
        packets = {stream.index: [] for stream in film.streams}
        for packet in film.demux():
            if packet.dts is not None:
                shown = packet.pts * packet.time_base, packet.dts * packet.time_base
                packets[packet.stream.index].append((*shown, bytes(packet)))
        others = [stream for stream in film.streams if stream.type != "video"]
        context = film.streams.video[0].codec_context
        facts = SimpleNamespace(
            packets=packets,
            others={stream.index: packets[stream.index] for stream in others},
            metadata=dict(film.metadata),
            languages=[stream.language for stream in film.streams],
            format=context.pix_fmt,
            codec=context.codec.canonical_name,
            aspect=context.sample_aspect_ratio,
            tags=(
                *(context.color_range, context.colorspace),
                *(context.color_primaries, context.color_trc),
            ),
        )
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
    facts.times = [frame.pts * frame.time_base for frame in frames]
    facts.rotation = frames[0].rotation
    facts.rgb = [frame.to_ndarray(format="rgb24") for frame in frames]
    return facts


def _scene(number, width, height):
    ground = gaussian_filter(np.random.default_rng(4).normal(size=(2 * height, 3 * width)), 5)
    ground = (ground - ground.min()) / np.ptp(ground)
    return ground[number // 2 : number // 2 + height, number : number + width]


def _frame(luma, format):
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], format)
    bits = frame.format.components[0].bits
    scale = 2 ** (bits - 8)
    for index, plane in enumerate(frame.planes):
        kind = np.dtype("u1" if bits == 8 else "<u2")
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
        rows[:] = 128 * scale
        if index == 0:
            rows[: luma.shape[0], : luma.shape[1]] = np.rint((16 + luma * 219) * scale)
    return frame
