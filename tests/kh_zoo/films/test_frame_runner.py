"""Numbered frames in a folder, coloured as a film."""

import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

pytest.importorskip("cv2")

from kh_zoo.batches.batch import Batch
from kh_zoo.batches.plan import plan_batch
from kh_zoo.colorizer import Colorizer
from kh_zoo.films.frame_runner import FrameRunner
from kh_zoo.workers.settings import Settings

FRAMES = 20


class Flickering:
    """An engine whose colour is another one for every picture, but the same for the same one."""

    def predict_ab(self, lightness):
        shift = 25 * np.sin(997 * lightness.mean(dtype=np.float64))
        return np.full((*lightness.shape, 2), shift, np.float32)


@pytest.fixture
def frames(tmp_path, monkeypatch):
    monkeypatch.setattr(Settings, "colorizer", lambda self: Colorizer(Flickering(), size=64))
    ground = gaussian_filter(np.random.default_rng(4).normal(size=(80, 180)), 3)
    ground = (70 + 120 * (ground - ground.min()) / np.ptp(ground)).astype("uint8")
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(FRAMES):
        Image.fromarray(ground[:64, number : number + 96]).save(folder / f"shot{number}.png")
    return folder


def run(folder, output, video=True, interrupted=lambda: False):
    settings = Settings(video=video)
    plan = plan_batch([folder], output=output)
    with FrameRunner(settings, 2) as runner:
        return list(Batch(plan, settings, runner).run(interrupted))


def colors(output):
    """The mean A of each frame, in the order of time."""
    return np.array(
        [
            rgb2lab(np.asarray(Image.open(output / f"shot{number}.png")))[..., 1].mean()
            for number in range(FRAMES)
        ]
    )


def test_colour_is_steady_in_the_order_of_the_numbers(frames, tmp_path):
    outcomes = run(frames, tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == ["done"] * FRAMES
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in frames.iterdir():
        Colorizer(Flickering(), size=64).colorize_file(path, alone / path.name)
    # At the ends there are no neighbours.
    steady, flicker = (
        np.abs(np.diff(colors(folder)))[6:-6].mean() for folder in (tmp_path / "out", alone)
    )
    assert steady < flicker / 3
    for number in (0, FRAMES - 1):
        name = f"shot{number}.png"
        assert (tmp_path / "out" / name).read_bytes() == (alone / name).read_bytes()
    before = Image.open(frames / "shot11.png")
    after = rgb2lab(np.asarray(Image.open(tmp_path / "out" / "shot11.png")))[..., 0]
    lightness = rgb2lab(np.asarray(before.convert("RGB")))[..., 0]
    assert np.abs(after - lightness).max() < 1


def test_what_was_ended_at_any_frame_is_gone_on_with(frames, tmp_path):
    run(frames, tmp_path / "whole")
    random = np.random.default_rng(3)
    done = []
    for _ in range(10):
        left = iter(range(random.integers(1, 30)))
        outcomes = run(frames, tmp_path / "out", interrupted=lambda left=left: next(left, 1) == 1)
        done.append(sum(outcome.status == "skipped" for outcome in outcomes))
    assert done == sorted(done)
    run(frames, tmp_path / "out")
    for path in (tmp_path / "whole").glob("*.png"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_broken_one_is_named_and_another_size_is_another_scene(frames, tmp_path):
    (frames / "shot4.png").write_bytes((frames / "shot4.png").read_bytes()[:900])
    Image.open(frames / "shot9.png").resize((80, 80)).save(frames / "shot9.png")
    (frames / "shot9b.txt").write_text("no frame")
    shutil.copytree(frames, frames / "more")
    outcomes = run(frames, tmp_path / "out")
    assert [outcome.source.name for outcome in outcomes if outcome.status == "failed"] == [
        "shot4.png",
        "shot4.png",
    ]
    assert len(outcomes) == 2 * FRAMES
    for name in ("shot9.png", "shot10.png"):  # alone, and the first of a scene
        Colorizer(Flickering(), size=64).colorize_file(frames / name, tmp_path / name)
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_other_settings_than_those_of_pictures(frames, tmp_path):
    run(frames, tmp_path / "out")
    assert {one.status for one in run(frames, tmp_path / "out")} == {"skipped"}
    again = run(frames, tmp_path / "out", video=False)
    assert {one.reason for one in again} == {"again: other settings: video True before, None now"}
