"""Colour that is steady along a known motion, and does not leak over a cut."""

from collections import namedtuple

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage import data
from skimage.color import rgb2lab

pytest.importorskip("cv2")

from kh_zoo.colorizer import Colorizer
from kh_zoo.films.steady import RADIUS, steady

SIZE = (96, 128)
Frame = namedtuple("Frame", "lightness ab back")


def clip(pictures, speed, zoom=1.0, grain=0.0, brightness=(1.0,), frames=16):
    """Frames of a camera that moves over pictures, with where each pixel was in the one before."""
    random = np.random.default_rng(5)
    grid = np.stack(np.mgrid[: SIZE[0], : SIZE[1]]).astype(float)
    middle = np.array(SIZE)[:, None, None] / 2
    for picture in pictures:
        lab = rgb2lab(picture)
        center = np.array(lab.shape[:2])[:, None, None] / 2
        for time in range(frames):

            def at(time, center=center):
                offset = np.array(speed)[:, None, None] * (time - frames / 2)
                return (grid - middle) * zoom**time + center + offset

            moved = np.stack(
                [map_coordinates(lab[..., i], at(time), order=1, mode="nearest") for i in range(3)],
                axis=-1,
            )
            light = moved[..., 0] * brightness[time // 4 % len(brightness)]
            light = np.clip(light + random.normal(0, grain, SIZE), 0, 100)
            # p now is where q was: (p - middle) * zoom = (q - middle) + what the camera moved.
            shift = np.array(speed)[:, None, None] / zoom ** (time - 1)
            back = (grid - middle) * zoom + middle + shift if time else None
            yield Frame(light.astype("float32"), moved[..., 1:], back)


def change(before, now, back):
    """How far A and B are from those that the same place had a frame before."""
    then = [map_coordinates(before[..., i], back, order=1, mode="nearest") for i in (0, 1)]
    inside = np.all((back >= 1) & (back <= np.array(SIZE)[:, None, None] - 2), axis=0)
    return np.hypot(*(np.moveaxis(now, -1, 0) - then))[inside].mean()


CLIPS = {
    "panned, with grain": lambda: clip([data.astronaut()], (0.7, 1.6), grain=4),
    "zoomed, with flashes": lambda: clip(
        [data.coffee()], (0.2, -0.5), zoom=0.99, brightness=(1, 0.75, 1.1), frames=28
    ),
    "cuts": lambda: clip([data.chelsea(), data.rocket()], (0.6, -1.3)),
}


@pytest.fixture(scope="module")
def engine():
    return Colorizer("lite").engine


@pytest.mark.parametrize("name", CLIPS)
def test_steady_along_a_known_motion(engine, name):
    frames = list(CLIPS[name]())
    alone = [engine.predict_ab(frame.lightness) for frame in frames]
    triples = [(i, frame.lightness, alone[i]) for i, frame in enumerate(frames)]
    numbers, smooth = zip(*steady(triples), strict=True)
    assert numbers == tuple(range(len(frames)))

    def total_change(colors):
        return sum(
            change(colors[i - 1], colors[i], frame.back)
            for i, frame in enumerate(frames)
            if frame.back is not None
        )

    def error(colors):
        return np.mean([(one - frame.ab) ** 2 for one, frame in zip(colors, frames, strict=True)])

    assert total_change(smooth) <= total_change(alone) / 3
    assert error(smooth) <= error(alone)
    for i, frame in enumerate(frames):
        if frame.back is None:
            assert np.abs(smooth[i] - alone[i]).max() < 1, "leaked"


def test_only_neighbours_count_and_few_frames_are_held():
    """So a film can be gone on with anywhere, and memory does not grow with it."""
    random = np.random.default_rng(2)
    picture = random.uniform(0, 100, (24, 32)).astype("float32")
    triples = [
        (i, np.roll(picture, i, 1), random.normal(0, 20, (24, 32, 2)).astype("float32"))
        for i in range(30)
    ]
    taken = []

    def take(some):
        for triple in some:
            taken.append(triple[0])
            yield triple

    whole = {}
    for number, ab in steady(take(triples)):
        assert taken[-1] - number <= RADIUS
        whole[number] = ab
    for start in (3, 11):
        later = dict(steady(triples[start:]))
        same = range(start + RADIUS, 30)
        assert all(np.array_equal(later[number], whole[number]) for number in same)


def test_what_comes_into_sight_keeps_its_own_colour():
    """A bar that moves over a still ground uncovers it again."""
    random = np.random.default_rng(3)
    ground = random.uniform(20, 80, (48, 96)).astype("float32")
    bar = random.uniform(20, 80, (48, 16)).astype("float32")
    triples = []
    for i in range(20):
        light, ab = ground.copy(), np.zeros((48, 96, 2), "float32")
        light[:, 3 * i : 3 * i + 16] = bar[:, : min(16, 96 - 3 * i)]
        ab[:, 3 * i : 3 * i + 16] = 40
        triples.append((i, light, ab))
    for i, ab in steady(triples):
        error = np.abs(ab - triples[i][2])[..., 0]
        assert error.mean() < 2.5
        assert np.median(error) < 0.1
