"""An archive of small pictures of every kind, some broken in twenty ways, through `kh colorize`.

Checks that every good one comes out as it does alone, that every broken one is named with a reason,
and that memory does not grow with the number of pictures. Linux only: it reads /proc.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.color import rgb2lab

from kh_zoo import Colorizer

KH = Path(sys.executable).with_name("kh")
GOOD: dict[str, Callable[[Image.Image, Path], None]] = {
    "grey.jpg": lambda image, path: image.save(path, quality=90),
    "rgb.jpg": lambda image, path: image.convert("RGB").save(path),
    "cmyk.jpg": lambda image, path: image.convert("CMYK").save(path),
    "turned.jpg": lambda image, path: image.save(path, exif=_turned()),
    "grey.png": lambda image, path: image.save(path),
    "alpha.png": lambda image, path: image.convert("LA").save(path),
    "palette.png": lambda image, path: image.convert("P").save(path),
    "bilevel.png": lambda image, path: image.convert("1").save(path),
    "deep.png": lambda image, path: _deep(image).save(path),
    "grey.tif": lambda image, path: image.save(path),
    "deep.tif": lambda image, path: _deep(image).save(path),
    "fax.tif": lambda image, path: image.convert("1").save(path, compression="group4"),
    "grey.webp": lambda image, path: image.save(path),
    "grey.gif": lambda image, path: image.save(path),
    "grey.avif": lambda image, path: image.save(path),
    "grey.bmp": lambda image, path: image.save(path),
    "grey.jp2": lambda image, path: image.save(path),
}
"""Kinds of pictures."""
BROKEN: dict[str, Callable[[Image.Image], bytes]] = {
    "empty.jpg": lambda image: b"",
    "text.jpg": lambda image: b"this is text\n",
    "page.png": lambda image: b"<!DOCTYPE html><html><body>Log in, please</body></html>",
    "zeros.tif": lambda image: bytes(5000),
    "noise.png": lambda image: np.random.default_rng(1).bytes(5000),
    "document.jpg": lambda image: b"%PDF-1.7\n1 0 obj <<>> endobj\n%%EOF\n",
    "archive.tif": lambda image: b"PK\x03\x04" + bytes(200),
    "drawing.png": lambda image: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "cut.jpg": lambda image: _half(image, "JPEG"),
    "cut.png": lambda image: _half(image, "PNG"),
    "cut.tif": lambda image: _half(image, "TIFF"),
    "cut.webp": lambda image: _half(image, "WEBP"),
    "cut.gif": lambda image: _half(image, "GIF"),
    "cut.avif": lambda image: _half(image, "AVIF"),
    "cut.bmp": lambda image: _half(image, "BMP"),
    "cut.jp2": lambda image: _half(image, "JPEG2000"),
    "start.jpg": lambda image: _bytes(image, "JPEG")[:20],
    "ends.jpg": lambda image: b"\xff\xd8\xff\xd9",
    "bomb.png": lambda image: _png_header(200_000, 200_000),
    "nothing.png": lambda image: _png_header(0, 0),
}
"""Ways to be broken."""


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def _deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def _bytes(image: Image.Image, form: str) -> bytes:
    file = BytesIO()
    image.save(file, form)
    return file.getvalue()


def _half(image: Image.Image, form: str) -> bytes:
    whole = _bytes(image, form)
    return whole[: len(whole) // 2]


def _png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))


def make(folder: Path, good: int, broken: int) -> None:
    """Write pictures and files that are none, a hundred to a folder."""
    random = np.random.default_rng(20261127)
    photos = [
        Image.fromarray(photo).convert("L")
        for photo in (data.camera(), data.coins(), data.moon(), data.astronaut(), data.chelsea())
    ]
    every = good // broken if broken else good + 1
    kinds, ways = list(GOOD.items()), list(BROKEN.items())
    for number in range(good):
        into = folder / f"{number // 100:03}"
        into.mkdir(parents=True, exist_ok=True)
        width, height = (int(side) for side in random.integers(64, 200, 2))
        if number % 4:
            photo = photos[int(random.integers(len(photos)))]
            left = int(random.integers(photo.width - width))
            top = int(random.integers(photo.height - height))
            image = photo.crop((left, top, left + width, top + height))
        else:
            ramp = np.linspace(0, 255, width)[None] + random.normal(0, 20, (height, width))
            image = Image.fromarray(ramp.clip(0, 255).astype(np.uint8))
        name, save = kinds[number % len(kinds)]
        save(image, into / f"{number:05}-{name}")
        if broken and number % every == every - 1 and number // every < broken:
            way, content = ways[number // every % len(ways)]
            (into / f"{number:05}-broken-{way}").write_bytes(content(image))


def check(folder: Path, out: Path, records: list[dict[str, str]], model: str, size: int) -> None:
    """Compare each output with that of its picture alone, byte for byte; and its lightness."""
    colorizer = Colorizer(model, size=size)
    with tempfile.TemporaryDirectory() as place:
        for record in records:
            source, target = Path(record["input"]), record["output"]
            if "-broken-" in source.name:
                assert record["status"] == "failed", record
                assert record["reason"], record
                assert not Path(target).exists(), record
                continue
            assert record["status"] == "done", record
            alone = Path(place, Path(target).name)
            colorizer.colorize_file(source, alone)
            assert Path(target).read_bytes() == alone.read_bytes(), record
            if source.name.endswith("grey.png"):
                before, after = (
                    rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]
                    for path in (source, target)
                )
                assert np.abs(before - after).max() < 1.5, record
    files = {path for path in out.rglob("*") if path.is_file()}
    done = {Path(record["output"]) for record in records if record["status"] == "done"}
    assert files == done | {out / ".kh-journal.jsonl"}


def colorize(folder: Path, out: Path, model: str, size: int) -> tuple[int, list, float, float]:
    """Run `kh`; return its exit code, its records, the seconds, and the peak memory in bytes."""
    started = time.monotonic()
    process = subprocess.Popen(
        [KH, "colorize", folder, "-o", out, "-m", model, "--size", str(size), "--json", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    records = [json.loads(line) for line in process.communicate()[0].splitlines()]
    watcher.join()
    return process.returncode, records, time.monotonic() - started, peak


def _memory(pid: int) -> int:
    """Of a process and those that it started, in bytes; what they share counts once."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) * 1024
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
            total += sum(map(_memory, map(int, children)))
    except OSError:  # it has ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000, help="broken ones included")
    parser.add_argument("--broken", type=int, default=100)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--model", default="relu1to5")
    arguments = parser.parse_args()
    print("| pictures | broken | exit code | seconds | peak memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for total, broken in ((50, 0), (arguments.pictures, arguments.broken)):
        with tempfile.TemporaryDirectory() as place:
            folder, out = Path(place, "scans"), Path(place, "out")
            make(folder, total - broken, broken)
            code, records, seconds, peak = colorize(folder, out, arguments.model, arguments.size)
            assert code == bool(broken), code
            assert len(records) == total, len(records)
            assert sum(record["status"] == "failed" for record in records) == broken
            check(folder, out, records, arguments.model, arguments.size)
        print(f"| {total} | {broken} | {code} | {seconds:.1f} | {peak / 1e6:.0f} |")


if __name__ == "__main__":
    main()
