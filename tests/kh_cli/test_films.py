"""`kh colorize` with films."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")
pytest.importorskip("cv2")

from small_films import make_film, read_film


@pytest.fixture
def kh(kh_here, model):
    return lambda *arguments: kh_here("colorize", "-m", model, *arguments)


def test_films_beside_their_inputs_and_in_a_folder(tmp_path, kh):
    films = [make_film(tmp_path / name, 6) for name in ("one.mkv", "two.avi")]
    code, out, err = kh(*films)
    assert (code, out.split()) == (0, [f"{tmp_path}/one.color.mkv", f"{tmp_path}/two.color.avi"])
    assert err.count("6 frames in") == 2
    code, out, err = kh(*films, "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["skipped", "skipped"]
    code, out, _ = kh(films[1], "-o", tmp_path / "new", "--codec", "ffv1", "--format", "mkv", "-q")
    assert (code, out.split()) == (0, [f"{tmp_path}/new/two.mkv"])
    assert read_film(tmp_path / "new" / "two.mkv").codec == "ffv1"
    assert kh(tmp_path / "one.color.mkv", "--json")[1].count('"an output itself"') == 1


def test_the_second_command(tmp_path, kh):
    one, other = (make_film(tmp_path / name, 4) for name in ("one.mkv", "other.mkv"))
    output = tmp_path / "one.color.mkv"
    assert kh(one, "-q")[0] == 0
    for option in (["--saturation", 2], ["--codec", "ffv1"], ["--codec", "ffv1", "--size", 32]):
        before = output.read_bytes()
        code, _, err = kh(one, *option)
        assert (code, output.read_bytes() == before) == (0, False)
        assert "again: other settings: " in err
        assert "already there" in kh(one, *option)[2]
    one.write_bytes(make_film(tmp_path / "new.mkv", 5).read_bytes())
    assert "again: the input has changed" in kh(one)[2]
    assert len(read_film(output).rgb) == 5

    before = output.read_bytes()
    for wrong in (["--engine", "onx"], ["--device", "cuda"]):
        assert kh(one, *wrong)[0] == 2
    code, _, err = kh(other, "-o", output)
    assert code == 2
    assert f"{output} was made from {one}, and `--overwrite` is needed" in err
    code, _, err = kh(other, "-o", one.with_name("new.mkv"))
    assert code == 2
    assert "no journal says that it was made from this picture" in err
    assert output.read_bytes() == before
    output.write_bytes(b"retouched")
    assert "changed since it was written" in kh(one)[2]
    assert output.read_bytes() == b"retouched"


def test_one_that_fails_does_not_end_the_others(tmp_path, kh):
    whole = make_film(tmp_path / "whole.mkv", 60).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("no film")
    good = make_film(tmp_path / "good.mkv", 4)
    code, out, err = kh(tmp_path / "text.mp4", tmp_path / "cut.mkv", good, "--json")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["failed", "failed", "done"]
    assert lines[0]["reason"].startswith("not a film")
    assert lines[1]["reason"].startswith("cut short (")
    assert len(read_film(tmp_path / "cut.color.mkv").rgb) in range(20, 40)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["film.mkv", "picture.jpg"], "`PATH` should be films alone"),
        (["film.mkv", "--compare"], "`--compare` is for pictures"),
        (["film.mkv", "--runner", "ray"], "`--runner` should be local for films"),
        (["film.mkv", "--codec", "vp9"], "`--codec` should be one of h264, hevc, av1, ffv1"),
        (["film.mkv", "--codec", "ffv1", "--quality", "9"], "`--quality` is not for ffv1"),
        (["film.mkv", "--format", "png"], "`--format` should be one of mp4, m4v, mov, mkv, avi"),
        (["film.mkv", "-o", "film.mkv"], "`--output` should not be an input"),
        (["film.mkv", "gone.mkv"], "a film which is there"),
        (["picture.jpg", "--codec", "h264"], "`PATH` should be films alone"),
        (["film.mkv", "--video"], "`--video` is for folders of frames"),
        (["frames", "--video", "--runner", "ray"], "`--runner` should be local with `--video`"),
    ],
)
def test_wrong_uses(tmp_path, monkeypatch, kh, arguments, message):
    monkeypatch.chdir(tmp_path)
    make_film("film.mkv", 1)
    (tmp_path / "picture.jpg").touch()
    code, out, err = kh(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_without_the_extra_it_is_named(tmp_path, monkeypatch, kh):
    film = make_film(tmp_path / "film.mkv", 1)
    for name in [name for name in sys.modules if name.startswith("kh_zoo.films.")]:
        if name != "kh_zoo.films.kinds":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    for arguments in ([film], [tmp_path, "--video"]):
        code, _, err = kh(*arguments)
        assert code == 2
        assert "pip install 'keras-hypercolumns[video]'" in err


def test_a_folder_of_frames(tmp_path, kh):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (8, 9, 10):
        noise = np.random.default_rng(number).integers(0, 256, (30, 40), "uint8")
        Image.fromarray(noise).save(frames / f"{number}.png")
    code, out, err = kh(frames, "--video")
    assert (code, out.split()) == (0, [f"{tmp_path}/frames-color/{n}.png" for n in (10, 8, 9)])
    assert "3 coloured in" in err
    assert "3 skipped" in kh(frames, "--video")[2]
