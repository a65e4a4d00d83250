"""How steady the colour of films is along a known motion, against frame by frame.

    python benchmarks/flicker.py DIR

Five clips of 48 frames are made from each of four of the PNG files in DIR: panned; zoomed; panned,
with grain (a standard deviation of 4 in L); zoomed and turned, with jumps of the brightness by up
to 30 %; and three scenes of 16 frames with cuts between them. The change is the mean distance, in A
and B, of a pixel from where it was one frame before; PSNR is that of A and B at full size against
the true ones; the first frame of a scene is compared with that of colouring it alone.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips
from scipy.ndimage import map_coordinates

from kh_zoo.colorizer import Colorizer
from kh_zoo.colors.guided_upsampling import GuidedUpsampling
from kh_zoo.colors.lab import srgb_to_lab
from kh_zoo.films.steady import steady
from kh_zoo.networks.working_size import working_size

WIDTH, HEIGHT = 480, 320
FRAMES, SCENE = 48, 16
GRAIN = 4
BRIGHTNESS = (1, 0.8, 1.1, 0.9, 0.7, 1.05)
GRID = np.stack(np.mgrid[:HEIGHT, :WIDTH]).astype(float)
KINDS = ("panned", "zoomed", "grain", "brightness", "cuts")


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


def clip(kind: str, labs: list[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """L and the true A and B of each frame, and where its pixels were in the one before."""
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
        yield np.clip(light, 0, 100).astype(np.float32), np.stack(moved[1:], -1), back


def reduced(lightness: np.ndarray, size: int) -> np.ndarray:
    width, height = working_size(WIDTH, HEIGHT, size)
    image = pyvips.Image.new_from_array(lightness)
    small = image.resize(width / WIDTH, vscale=height / HEIGHT, kernel="lanczos3").numpy()
    return np.clip(small, 0, 100).astype(np.float32)


def change(before: np.ndarray, now: np.ndarray, back: np.ndarray) -> float:
    then = [map_coordinates(before[..., i], back, order=1, mode="nearest") for i in (0, 1)]
    last = np.array([HEIGHT, WIDTH])[:, None, None] - 3
    inside = np.all((back >= 2) & (back <= last), axis=0)
    return float(np.hypot(*(np.moveaxis(now, -1, 0) - then))[inside].mean())


def measure(colorizer: Colorizer, kind: str, labs: list[np.ndarray]) -> np.ndarray:
    """Change and squared error, alone and steady, and the largest difference of a first frame."""
    frames = list(clip(kind, labs))
    small = [reduced(light, colorizer.size) for light, _, _ in frames]
    alone = [colorizer.engine.predict_ab(light) for light in small]
    together = [ab for _, ab in steady(zip(range(FRAMES), small, alone, strict=True))]
    row = []
    for colors in (alone, together):
        full = [
            np.moveaxis(GuidedUpsampling(*pair, WIDTH, HEIGHT).rows(0, frame[0]), 0, -1)
            for *pair, frame in zip(small, colors, frames, strict=True)
        ]
        changes = [
            change(full[i - 1], full[i], back)
            for i, (_, _, back) in enumerate(frames)
            if back is not None
        ]
        errors = [np.mean((ab - frame[1]) ** 2) for ab, frame in zip(full, frames, strict=True)]
        row += [np.mean(changes), np.mean(errors)]
    firsts = [i for i, (_, _, back) in enumerate(frames) if back is None]
    return np.array([*row, max(np.abs(alone[i] - together[i]).max() for i in firsts)])


def main() -> None:
    paths = sorted(Path(sys.argv[1]).glob("*.png"))
    labs = [srgb_to_lab(pyvips.Image.new_from_file(str(path))[:3].numpy() / 255) for path in paths]
    # All of them wide.
    labs = [lab if lab.shape[0] < lab.shape[1] else lab.swapaxes(0, 1) for lab in labs]
    colorizer = Colorizer()
    print("| clip | change, alone | steady | ratio | worst | PSNR, alone | steady | first frame |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for number, kind in enumerate(KINDS):
        starts = [(number + 2 * i) % len(labs) for i in range(4)]
        rows = [
            measure(colorizer, kind, [labs[(start + i) % len(labs)] for i in range(3)])
            for start in starts
        ]
        alone, error, together, error_together, first = np.mean(rows, axis=0)
        worst = max(row[2] / row[0] for row in rows)
        first = max(row[4] for row in rows)
        psnrs = [10 * np.log10(255**2 / e) for e in (error, error_together)]
        print(
            f"| {kind} | {alone:.2f} | {together:.2f} | {together / alone:.2f} | {worst:.2f} | "
            f"{psnrs[0]:.2f} | {psnrs[1]:.2f} | {first:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
