"""Films in, coloured films out: all but the colour as it was."""

import io
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from small_films import ByLightness, make_film, read_film  # noqa: E402

from kh_zoo.colorizer import Colorizer  # noqa: E402
from kh_zoo.errors import OutputError, PictureError  # noqa: E402
from kh_zoo.films.colorize_film import colorize_film  # noqa: E402

KILLS = int(os.environ.get("KH_KILLS", "2"))
UNEVEN = np.cumsum(np.random.default_rng(1).integers(1, 90, 24)).tolist()


def color(source, target=None, **options):
    target = target or source.with_name(f"{source.stem}.color{source.suffix}")
    result = colorize_film(source, target, Colorizer(ByLightness(), size=64), **options)
    assert {path.name for path in target.parent.iterdir() if path.name.startswith(".")} == set()
    return target, result


def errors_of_lightness(before, after):
    return [
        np.sqrt(np.mean((rgb2lab(one)[..., 0] - rgb2lab(other)[..., 0]) ** 2))
        for one, other in zip(before.rgb, after.rgb, strict=True)
    ]


@pytest.mark.parametrize(
    ("suffix", "film"),
    [
        (".mp4", {"codec": "libx264", "sound": "aac", "subtitles": "mov_text"}),
        (".mov", {"codec": "libx264", "sound": "pcm_s16le", "aspect": Fraction(16, 15)}),
        (".mkv", {"sound": "flac", "subtitles": "subrip", "aspect": Fraction(4, 3)}),
        (".avi", {"sound": "pcm_s16le"}),
    ],
    ids=str,
)
def test_all_but_the_colour_is_as_it_was(tmp_path, suffix, film):
    uneven = {} if suffix == ".avi" else {"pts": UNEVEN, "time_base": Fraction(1, 1000)}
    source = make_film(tmp_path / f"film{suffix}", **film, **uneven, tags=(1, 6, 6, 6))
    target, result = color(source, codec="ffv1" if suffix in (".mkv", ".avi") else "h264")
    assert result == ((), "", 24)
    before, after = read_film(source), read_film(target)
    assert after.times == before.times
    assert after.others == before.others
    assert [len(packets) for packets in after.others.values()] != [0] * len(after.others)
    assert after.metadata.get("title") == before.metadata.get("title") == "A film"
    assert after.metadata.get("comment") == before.metadata.get("comment")
    assert after.languages == before.languages
    assert after.aspect == before.aspect
    if suffix != ".avi":  # which has none
        assert after.tags == before.tags == (1, 6, 6, 6)
    assert max(errors_of_lightness(before, after)) < (0.6 if suffix in (".mkv", ".avi") else 1)
    chroma = np.hypot(*np.moveaxis(rgb2lab(after.rgb[12])[..., 1:], -1, 0))
    assert chroma.mean() > 5


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
@pytest.mark.parametrize("format", ["yuv420p", "yuv422p10le"])
def test_codecs_and_depths(tmp_path, codec, format):
    source = make_film(tmp_path / "film.mkv", 8, format=format)
    target, _ = color(source, codec=codec)
    before, after = read_film(source), read_film(target)
    assert after.codec == codec
    assert ("10le" in after.format) == ("10le" in format)
    assert after.times == before.times
    assert max(errors_of_lightness(before, after)) < 1.6


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux has such policies")
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1"])
def test_an_encoder_takes_no_priority_over_all_else(tmp_path, codec):
    """As root SVT-AV1 made threads real-time ones, and what was started later was one, too."""
    seen = set()

    def look(*_):
        seen.update(os.sched_getscheduler(int(name)) for name in os.listdir("/proc/self/task"))

    color(make_film(tmp_path / "film.mkv", 8), codec=codec, on_progress=look)
    look()
    assert seen == {os.SCHED_OTHER}


def test_what_is_chosen_for_more_than_eight_bits(tmp_path):
    source = make_film(tmp_path / "film.mkv", 4, format="gray10le")
    after = read_film(color(source)[0])
    assert (after.codec, after.format) == ("hevc", "yuv420p10le")


def test_interlaced_frames_stay_interlaced(tmp_path):
    """Of two fields that move apart, a row has no chroma of the other field's rows."""
    bright = np.indices((64, 96))[0] % 2 * 0.6 + 0.2
    source = make_film(
        tmp_path / "film.mkv",
        3,
        codec="libx264",
        pictures=[bright] * 3,
        options={"flags": "+ildct+ilme", "crf": "1"},
    )
    target, result = color(source, quality=100)
    assert result.notes == ()
    for path in (source, target):
        with av.open(str(path)) as film:
            frames = list(film.decode(video=0))
        assert all(frame.interlaced_frame for frame in frames)
    # Bright is orange, dark is blue; shared they would both be grey.
    v = np.split(frames[1].to_ndarray().ravel(), [64 * 96, 64 * 96 + 32 * 48])[2].reshape(32, 48)
    assert v[1::2, 8:-8].mean() - v[::2, 8:-8].mean() > 20
    assert "interlaced" in color(source, tmp_path / "other.mkv", codec="hevc")[1].notes[0]


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(tmp_path, transfer, name):
    source = make_film(tmp_path / "film.mkv", 2, format="yuv420p10le", tags=(1, 9, 9, transfer))
    with pytest.raises(PictureError, match=rf"HDR \({name}\)"):
        color(source)


def test_full_range_and_odd_sizes(tmp_path):
    source = make_film(tmp_path / "film.mkv", 4, (77, 51), format="yuv444p", tags=(2, 1, 1, 1))
    target, _ = color(source)
    before, after = read_film(source), read_film(target)
    assert after.tags == before.tags
    assert after.rgb[0].shape == before.rgb[0].shape
    assert max(errors_of_lightness(before, after)) < 1


def test_a_film_in_colour_is_said(tmp_path):
    source = make_film(tmp_path / "film.mkv", 4)
    target, result = color(source)
    assert color(target, tmp_path / "again.mkv")[1].notes == ("colour: only its lightness is used",)
    assert result.notes == ()


def test_what_finds_no_place_is_said(tmp_path):
    source = make_film(tmp_path / "film.mkv", 4, subtitles="subrip")
    _, result = color(source, tmp_path / "film.mp4")
    assert result.notes == ("without subtitle stream 1 (subrip)",)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_film_is_coloured_upright(tmp_path, degrees):
    source = make_film(tmp_path / "film.mp4", 2, codec="libx264", degrees=degrees)
    engine = ByLightness()
    colorize_film(source, tmp_path / "turned.mp4", Colorizer(engine, size=64))
    before, after = read_film(source), read_film(tmp_path / "turned.mp4")
    assert after.rotation == before.rotation
    # Players turn the picture by this much against the clock.
    upright = np.rot90(rgb2lab(before.rgb[0])[..., 0], before.rotation // 90)
    assert engine.seen[0].shape == upright.shape
    assert np.sqrt(np.mean((engine.seen[0] - upright) ** 2)) < 1
    lab = rgb2lab(after.rgb[0])
    assert np.corrcoef(lab[..., 0].ravel(), lab[..., 2].ravel())[0, 1] > 0.9


def test_quality_decides_the_size(tmp_path):
    source = make_film(tmp_path / "film.mkv", 12)
    sizes = [
        color(source, tmp_path / f"{quality}.mkv", quality=quality)[0].stat().st_size
        for quality in (20, 65, 95)
    ]
    assert sizes == sorted(sizes)
    assert 2 * sizes[0] < sizes[2]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("film.mp4", {"codec": "vp9"}, "`codec` should be one of h264, hevc, av1, ffv1"),
        ("out.mkv", {"codec": "ffv1", "quality": 3}, "`quality` is not for 'ffv1'"),
        ("film.gif", {}, "ends in one of .mp4"),
        ("film.avi", {}, "AVI has no timestamps"),
    ],
)
def test_wrong_uses_are_told_before_the_first_frame(tmp_path, target, options, message):
    source = make_film(tmp_path / "film.mkv", 2)
    with pytest.raises(OutputError, match=message):
        color(source, tmp_path / target, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv"]


def test_a_codec_that_a_file_has_no_place_for(tmp_path):
    source = make_film(tmp_path / "film.avi", 2)
    with pytest.raises(OutputError, match="'hevc' can't be in a file"):
        color(source, codec="hevc")


@pytest.mark.parametrize(
    ("suffix", "film"),
    [
        (".mkv", {}),
        (".mkv", {"codec": "libx264", "sound": "flac"}),
        (".avi", {"sound": "pcm_s16le"}),
        (".mp4", {"container_options": {"movflags": "faststart"}}),
    ],
    ids=str,
)
def test_a_truncated_film_gives_what_could_be_read(tmp_path, suffix, film):
    whole = make_film(tmp_path / f"whole{suffix}", 60, **film)
    content = whole.read_bytes()
    cut = tmp_path / f"film{suffix}"
    cut.write_bytes(content[: len(content) * 6 // 10])
    target, result = color(cut, codec="ffv1")
    assert result.reason.startswith("cut short (")
    after = read_film(target)
    before = read_film(whole)
    assert 20 < len(after.rgb) < 50
    assert result.frames == len(after.rgb)
    shown = [before.times.index(time) for time in after.times]
    assert shown == sorted(set(shown))
    # The last ones may refer to others that are not there.
    before.rgb = [before.rgb[number] for number in shown[:-4]]
    after.rgb = after.rgb[:-4]
    assert max(errors_of_lightness(before, after)) < 1


@pytest.mark.parametrize(
    "content",
    [b"", b"not a film", b"\x00" * 5000, bytes(range(256)) * 40],
    ids=["empty", "text", "zeros", "bytes"],
)
def test_what_is_no_film(tmp_path, content):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(PictureError):
        color(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.mp4"]


def test_a_film_without_its_index_and_one_without_pictures(tmp_path):
    whole = make_film(tmp_path / "whole.mp4", codec="libx264", sound="aac").read_bytes()
    (tmp_path / "film.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PictureError, match="cut short"):
        color(tmp_path / "film.mp4")
    with av.open(str(tmp_path / "sound.mkv"), "w") as output:
        audio = output.add_stream("flac", rate=8000)
        audio.layout = "mono"
        wave = np.zeros((1, 4608), "int16")
        chunk = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        chunk.sample_rate, chunk.pts = 8000, 0
        output.mux(audio.encode(chunk))
        output.mux(audio.encode(None))
    with pytest.raises(PictureError, match="only sound"):
        color(tmp_path / "sound.mkv")


def test_a_name_that_reads_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = make_film(tmp_path / "x.mkv", 2).rename("http:film 50%d.mkv")
    assert color(Path(source.name).absolute())[1].frames == 2


def test_a_run_that_is_stopped_at_any_frame_is_gone_on_with(tmp_path):
    """Equal, packet by packet, to one that was not; and no frame is coloured again for nothing.

    In FFV1, which loses nothing: x264 itself is not always the same on every machine.
    """
    source = make_film(tmp_path / "film.mkv", 30, sound="flac")
    whole = read_film(color(source, tmp_path / "whole.mkv", codec="ffv1", segment=8)[0])
    target = tmp_path / "film.color.mkv"
    engine = ByLightness()
    for stop in (3, 9, 17, 22, None):
        left = iter(range(stop if stop is not None else 10**6))
        result = colorize_film(
            source,
            target,
            Colorizer(engine, size=64),
            codec="ffv1",
            segment=8,
            stopped=lambda left=left: next(left, None) is None,
        )
        assert (result is None) == (stop is not None)
        assert target.exists() == (stop is None)
    assert read_film(target).packets == whole.packets
    assert len(engine.seen) < 4 * 30


def test_other_settings_begin_anew(tmp_path):
    source = make_film(tmp_path / "film.mkv", 20)
    target = tmp_path / "film.color.mkv"

    def run(saturation, stop):
        left = iter(range(stop))
        done = []
        colorize_film(
            source,
            target,
            Colorizer(ByLightness(), size=64, saturation=saturation),
            segment=4,
            on_progress=lambda number, total: done.append((number, total)),
            stopped=lambda: next(left, None) is None,
        )
        return done[0]

    assert run(1, 10) == (0, 20)
    assert run(1, 0)[0] == 8
    assert run(0.5, 10)[0] == 0


def test_a_killed_process_equals_an_undisturbed_one(tmp_path):
    """In the codec that is chosen by itself: the same packets, so frame by frame; and its sound."""
    source = make_film(tmp_path / "film.mp4", 40, codec="libx264", sound="aac")
    whole = read_film(color(source, tmp_path / "whole.mp4", segment=4)[0])
    assert whole.codec == "h264"
    assert whole.others == read_film(source).others != {}
    target = tmp_path / "film.color.mp4"
    program = f"""if True:
        import sys, time
        sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
        from small_films import ByLightness
        from kh_zoo.colorizer import Colorizer
        from kh_zoo.films.colorize_film import colorize_film

        class Slow(ByLightness):
            def predict_ab(self, lightness):
                time.sleep(0.02)
                return super().predict_ab(lightness)

        def tell(done, total):
            print(done, flush=True)

        colorize_film({str(source)!r}, {str(target)!r}, Colorizer(Slow(), size=64),
                      segment=4, on_progress=tell)
    """
    random = np.random.default_rng(KILLS)
    begun = []
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        begun.append(int(process.stdout.readline()))
        time.sleep(random.uniform(0, 0.3 if KILLS > 5 else 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert begun == sorted(begun)
    color(source, target, segment=4)
    assert read_film(target).packets == whole.packets


def test_two_runs_at_a_time_are_refused(tmp_path):
    source = make_film(tmp_path / "film.mkv", 4)
    refused = io.StringIO()

    def second(done, total):
        if not refused.getvalue():
            with pytest.raises(OutputError, match="another run") as error:
                colorize_film(source, tmp_path / "o.mkv", Colorizer(ByLightness(), size=64))
            refused.write(str(error.value))

    color(source, tmp_path / "o.mkv", on_progress=second)
    assert refused.getvalue()
