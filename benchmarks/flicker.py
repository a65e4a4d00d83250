"""How steady the colour of films is along their motion, against frame by frame.

    python benchmarks/flicker.py DIR [FILM ...]

Five clips of 48 frames are made from each of four of the PNG files in DIR: panned; zoomed; panned,
with grain (a standard deviation of 4 in L); zoomed and turned, with jumps of the brightness by up
to 30 %; and three scenes of 16 frames with cuts between them. Their motion is known. That of a film
in colour is found by another method than the one under test, in the film itself, at full size; only
pixels count whose motion from the frame before and back to it ends where it began.

The change is the mean distance, in A and B, of a pixel from where it was one frame before; PSNR is
that of A and B at full size against the true ones; the first frame of a scene is compared with that
of colouring it alone.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pyvips
from scipy.ndimage import map_coordinates

from kh_zoo.colorizer import Colorizer
from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.colors.lab import srgb_to_lab
from kh_zoo.films.steady import steady
from kh_zoo.networks.working_size import working_size
from kh_zoo.pictures.reducing import reduced

WIDTH, HEIGHT = 480, 320
FRAMES, SCENE = 48, 16
GRAIN = 4
BRIGHTNESS = (1, 0.8, 1.1, 0.9, 0.7, 1.05)
GRID = np.stack(np.mgrid[:HEIGHT, :WIDTH]).astype(float)
KINDS = ("panned", "zoomed", "grain", "brightness", "cuts")
WIDEST = 640
CUT = 30
"""Mean difference between two frames of a film, in levels of 255, where a scene begins."""
ASTRAY = 0.5
"""Pixels that a motion there and back may be off."""


class Frame(NamedTuple):
    lightness: np.ndarray
    ab: np.ndarray
    """The true one."""
    back: np.ndarray | None
    """Row and column of each pixel in the frame before; None where a scene begins."""
    known: np.ndarray | bool = True
    """The pixels whose motion is known."""


def camera(kind: str, time: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset from a pixel of a frame to the picture."""
    speed, zoom, turn = {
        "panned": ((-0.9, 2.3), 1, 0),
        "zoomed": ((0, 0), 1.4 * 0.988**time, 0),
        "grain": ((-0.9, 2.3), 1, 0),
        "brightness": ((0.6, -1.4), 1.25 * 0.995**time, 0.004),
        "cuts": ((1.1, -1.9), 1, 0),
    }[kind]
    half = (SCENE if kind == "cuts" else FRAMES) / 2
    since = (time % SCENE if kind == "cuts" else time) - half
    cosine, sine = np.cos(turn * since), np.sin(turn * since)
    matrix = zoom * np.array([[cosine, -sine], [sine, cosine]])
    center = np.array(shape[:2]) / 2 + np.array(speed) * since
    return matrix, center - matrix @ np.array([HEIGHT, WIDTH]) / 2


def made_clip(kind: str, labs: list[np.ndarray]) -> Iterator[Frame]:
    random = np.random.default_rng(0)
    before = None
    for time in range(FRAMES):
        begins = time % SCENE == 0 if kind == "cuts" else time == 0
        lab = labs[time // SCENE] if kind == "cuts" else labs[0]
        matrix, offset = camera(kind, time, lab.shape)
        at = np.tensordot(matrix, GRID, 1) + offset[:, None, None]
        moved = [map_coordinates(lab[..., i], at, mode="nearest") for i in range(3)]
        light = moved[0]
        if kind == "grain":
            light = light + random.normal(0, GRAIN, light.shape)
        if kind == "brightness":
            light = light * BRIGHTNESS[time // 8]
        back = None
        if not begins:
            inverse = np.linalg.inv(before[0])
            back = np.tensordot(inverse, at - before[1][:, None, None], 1)
        before = matrix, offset
        yield Frame(np.clip(light, 0, 100).astype(np.float32), np.stack(moved[1:], -1), back)


def film(path: str) -> Iterator[Frame]:
    before = None
    with av.open(path) as container:
        for picture in container.decode(video=0):
            height = round(picture.height * min(1, WIDEST / picture.width))
            size = {"width": min(WIDEST, picture.width), "height": height}
            rgb = picture.reformat(**size, format="rgb24", interpolation="AREA").to_ndarray()
            lab = srgb_to_lab(rgb / 255)
            begins = before is None or np.abs(rgb.astype(float) - before).mean() > CUT
            back, known = (None, True) if begins else _motion(before, rgb)
            before = rgb
            yield Frame(
                lab[..., 0].astype(np.float32), lab[..., 1:].astype(np.float32), back, known
            )


def _motion(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel was, and whether that is sure."""

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        gray = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (first, second)]
        found = cv2.calcOpticalFlowFarneback(*gray, None, 0.5, 5, 21, 5, 7, 1.5, 0)
        return np.stack([found[..., 1], found[..., 0]])

    backward, forward = flow(now, before), flow(before, now)
    grid = np.stack(np.mgrid[: now.shape[0], : now.shape[1]]).astype(np.float32)
    back = grid + backward
    again = [map_coordinates(channel, back, order=1, mode="nearest") for channel in forward]
    return back, np.hypot(*(backward + again)) < ASTRAY


def small_copy(lightness: np.ndarray, size: int) -> np.ndarray:
    image = pyvips.Image.new_from_array(lightness)
    small = reduced(image, *working_size(image.width, image.height, size))
    return np.clip(small.numpy(), 0, 100).astype(np.float32)


def change(before: np.ndarray, now: np.ndarray, frame: Frame) -> float:
    then = [map_coordinates(before[..., i], frame.back, order=1, mode="nearest") for i in (0, 1)]
    last = np.array(now.shape[:2])[:, None, None] - 3
    inside = np.all((frame.back >= 2) & (frame.back <= last), axis=0) & frame.known
    return float(np.hypot(*(np.moveaxis(now, -1, 0) - then))[inside].mean())


def measure(colorizer: Colorizer, frames: list[Frame]) -> np.ndarray:
    """Change and squared error, alone and steady, and the largest difference of a first frame."""
    small = [small_copy(frame.lightness, colorizer.size) for frame in frames]
    alone = [colorizer.engine.predict_ab(light) for light in small]
    triples = zip(range(len(frames)), small, alone, strict=True)
    together = [ab for _, ab in steady(triples)]
    row = []
    for colors in (alone, together):
        changes, errors, before = [], [], None
        for *pair, frame in zip(small, colors, frames, strict=True):
            height, width = frame.lightness.shape
            full = GuidedUpsampling(*pair, width, height).rows(0, frame.lightness)
            full = np.moveaxis(full, 0, -1)
            if frame.back is not None:
                changes.append(change(before, full, frame))
            errors.append(np.mean((full - frame.ab) ** 2))
            before = full
        row += [np.mean(changes), np.mean(errors)]
    firsts = [i for i, frame in enumerate(frames) if frame.back is None]
    return np.array([*row, max(np.abs(alone[i] - together[i]).max() for i in firsts)])


def show(name: str, rows: list[np.ndarray]) -> None:
    alone, error, together, error_together, _ = np.mean(rows, axis=0)
    worst = max(row[2] / row[0] for row in rows)
    first = max(row[4] for row in rows)
    psnrs = [10 * np.log10(255**2 / e) for e in (error, error_together)]
    gained = min(10 * np.log10(row[1] / row[3]) for row in rows)
    print(
        f"| {name} | {alone:.2f} | {together:.2f} | {together / alone:.2f} | {worst:.2f} | "
        f"{psnrs[0]:.2f} | {psnrs[1]:.2f} | {gained:+.2f} | {first:.2f} |",
        flush=True,
    )


def main() -> None:
    paths = sorted(Path(sys.argv[1]).glob("*.png"))
    labs = [srgb_to_lab(pyvips.Image.new_from_file(str(path))[:3].numpy() / 255) for path in paths]
    # All of them wide.
    labs = [lab if lab.shape[0] < lab.shape[1] else lab.swapaxes(0, 1) for lab in labs]
    colorizer = Colorizer()
    print(
        "| clip | change, alone | steady | ratio | worst | PSNR, alone | steady | least gain "
        "| first frame |"
    )
    print("| --- " * 9 + "|")
    for number, kind in enumerate(KINDS):
        starts = [(number + 2 * i) % len(labs) for i in range(4)]
        clips = [[labs[(start + i) % len(labs)] for i in range(3)] for start in starts]
        show(kind, [measure(colorizer, list(made_clip(kind, scenes))) for scenes in clips])
    for path in sys.argv[2:]:
        show(Path(path).stem, [measure(colorizer, list(film(path)))])


if __name__ == "__main__":
    main()
