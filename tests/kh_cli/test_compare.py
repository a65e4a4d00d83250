"""`kh compare` against `Colorizer`'s own pictures, and what it leaves alone."""

import base64
import io
import re

import numpy as np
import pytest
import typer
from PIL import Image
from skimage import data

from kh_cli.commands.compare import compare as command
from kh_cli.output.errors import WrongUse
from kh_zoo import Colorizer

MODELS = ["relu3to5", "pool1to4"]


@pytest.fixture
def folder(tmp_path):
    """A colour picture with alpha, a grey one, one that is broken, and what is no picture."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    rgba = np.dstack([data.chelsea()[:96, 100:260], np.full((96, 160), 255, "uint8")])
    Image.fromarray(rgba).save(folder / "cat.png")
    Image.fromarray(data.camera()[100:164, 200:280]).save(folder / "below" / "man & camera.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder


def test_the_vivid_head_is_a_column_of_its_own(folder, tmp_path):
    page = tmp_path / "page.html"
    command(["relu1to5"], [folder / "cat.png"], page, vivid=True, saturation=[1, 0.5], quiet=True)
    [cat] = cells(page.read_text(encoding="utf-8"))
    columns = ["relu1to5, 1", "relu1to5, 0.5", "relu1to5, vivid, 1", "relu1to5, vivid, 0.5"]
    assert [alt for alt, _ in cat] == [f"cat.png, {c}" for c in ("grey", *columns, "picture")]
    seen = dict(cat)["cat.png, relu1to5, vivid, 1"]
    expected = Colorizer("relu1to5", vivid=True).colorize(folder / "cat.png").flatten().numpy()
    assert np.abs(seen - expected).mean() < 3


def cells(page):
    """Rows of the page: the pictures, decoded, and their descriptions."""
    return [
        [
            (alt, np.asarray(Image.open(io.BytesIO(base64.b64decode(address)))).astype(int))
            for alt, address in re.findall(
                r'alt="([^"]*)" src="data:image/jpeg;base64,([^"]*)"', row
            )
        ]
        for row in re.findall(r'<tr class="pictures">(.*)</tr>', page)
    ]


def test_the_page_has_what_each_model_makes_of_each_picture(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    with pytest.raises(typer.Exit) as ended:
        command(MODELS, [folder], page, quiet=True)
    assert ended.value.exit_code == 1
    out, talk = capsys.readouterr()
    assert out == f"{page}\n"
    assert talk.startswith("broken.jpg: ")
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text)
    man, cat = cells(text)
    name = "below/man &amp; camera.jpg"
    assert [alt for alt, _ in man] == [f"{name}, {column}" for column in ("grey", *MODELS)]
    assert [alt for alt, _ in cat] == [f"cat.png, {c}" for c in ("grey", *MODELS, "picture")]

    own = np.asarray(Image.open(folder / "cat.png").convert("RGB")).astype(int)
    assert np.abs(cat[-1][1] - own).mean() < 5
    assert np.ptp(cat[0][1], axis=-1).max() <= 2
    for model, (_, found) in zip(MODELS, cat[1:], strict=False):
        expected = Colorizer(model).colorize(folder / "cat.png").numpy()[..., :3].astype(int)
        assert np.abs(found - expected).mean() < 5
    assert np.abs(cat[1][1] - cat[2][1]).max() > 10


def test_a_sheet_has_a_column_for_each_saturation(folder, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    command(["pool1to4"], [folder / "cat.png"], sheet, saturation=[0.0, 2.0], quiet=True)
    pixels = np.asarray(Image.open(sheet)).astype(int)
    # Cells of 224 pixels, 4 apart, below a line of 18; the picture is not enlarged.
    columns = [pixels[18 : 18 + 96, 228 * i : 228 * i + 160] for i in range(4)]
    assert np.abs(columns[1] - columns[0]).max() <= 2
    expected = Colorizer("pool1to4", saturation=2.0).colorize(folder / "cat.png").numpy()
    assert np.abs(columns[2] - expected[..., :3]).max() <= 2
    np.testing.assert_array_equal(columns[3], data.chelsea()[:96, 100:260])
    assert pixels[18 + 96 + 4 :].size == 0


def test_pictures_are_spread_over_those_found(folder, tmp_path):
    for number in range(5):
        Image.new("L", (32, 32), 40 * number).save(folder / f"a{number}.png")
    (folder / "broken.jpg").unlink()
    page = tmp_path / "page.html"
    command(["pool1to4"], [folder], page, count=3, quiet=True)
    names = [row[0][0] for row in cells(page.read_text(encoding="utf-8"))]
    assert names == ["a0.png, grey", "a2.png, grey", "a4.png, grey"]


def test_what_can_not_be_done_is_told_and_nothing_is_lost(folder, tmp_path, capsys):
    precious = tmp_path / "photo.jpg"
    precious.write_bytes(b"precious")
    with pytest.raises(WrongUse, match="`--overwrite`"):
        command(["pool1to4"], [folder], precious)
    assert precious.read_bytes() == b"precious"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WrongUse, match="should hold pictures"):
        command(["pool1to4"], [empty], tmp_path / "a.html")
    with pytest.raises(typer.Exit) as ended:
        command(["pool1to4"], [folder / "broken.jpg"], tmp_path / "a.html", quiet=True)
    assert ended.value.exit_code == 2
    assert not (tmp_path / "a.html").exists()
