"""What is said of a picture that was coloured, or was none."""

import os

import pytest
from PIL import Image

from kh_zoo.colorizer import Colorizer
from kh_zoo.workers.colorize import colorize
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.stamp import Stamp

SETTINGS = Settings("lite")


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer("lite")


def test_a_file_of_a_terabyte_that_is_none_takes_no_time(tmp_path, colorizer):
    """Nothing is summed up of what is refused by its first bytes."""
    with (tmp_path / "a.png").open("wb") as file:
        try:
            file.truncate(2**40)
        except OSError:
            pytest.skip("no files with holes here")
    answer = colorize(colorizer, tmp_path / "a.png", tmp_path / "b.png", SETTINGS)
    assert "not a picture" in answer.reason
    assert answer.seconds < 20


def test_what_was_coloured_is_known_by_what_is_in_it(tmp_path, colorizer):
    Image.new("L", (20, 30), 90).save(tmp_path / "a.png")
    answer = colorize(colorizer, tmp_path / "a.png", tmp_path / "b.png", SETTINGS)
    assert answer.read == Stamp.of(tmp_path / "a.png", digest=True)
    os.utime(tmp_path / "a.png", (1, 1))
    assert answer.read.is_of(tmp_path / "a.png")


def test_what_changes_while_it_is_coloured_has_changed(tmp_path):
    """And is done again, though what was summed up behind is what it is now."""
    source = tmp_path / "a.png"

    class Changing:
        def colorize_file(self, source, target, **options):
            Image.new("L", (20, 30), 90).save(target)
            Image.new("L", (20, 30), 91).save(source)
            os.utime(source, (2, 2))
            return ()

    Image.new("L", (20, 30), 90).save(source)
    answer = colorize(Changing(), source, tmp_path / "b.png", SETTINGS)
    assert answer.reason is None
    assert not answer.read.is_of(source)
