"""Files that are written have another name until they are whole, however long their own is."""

import errno
import gc
import os
import resource
import threading

import numpy as np
import pytest
import pyvips
from PIL import Image

from kh_zoo.colorizer import Colorizer
from kh_zoo.errors import OutputError
from kh_zoo.pictures.output import Output
from kh_zoo.pictures.unfinished import remove_unfinished, unfinished_name


class Gray:
    def predict_ab(self, lightness):
        return np.zeros((*lightness.shape, 2), np.float32)


@pytest.mark.parametrize("letter", ["a", "ß", "☃"])
@pytest.mark.parametrize("length", [200, 240, 245, 246, 250, 255])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_names_of_any_length(tmp_path, suffix, length, letter):
    size = len(letter.encode())
    stem = letter * ((length - len(suffix)) // size)
    name = stem + "b" * (length - len(suffix) - size * len(stem)) + suffix
    assert len(os.fsencode(name)) == length
    Image.new("L", (20, 20), 90).save(tmp_path / "in.png")
    Colorizer(Gray(), size=16).colorize_file(tmp_path / "in.png", tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted(["in.png", name])
    # What a process that was killed leaves is found by the next.
    (tmp_path / unfinished_name(name, "0123abcd")).touch()
    other = unfinished_name("c" * (length - 5) + ".jpg", "0123abcd")
    (tmp_path / other).touch()
    assert remove_unfinished([tmp_path / name]) == 1
    assert sorted(os.listdir(tmp_path)) == sorted(["in.png", name, other])


@pytest.mark.parametrize("length", [256, 300])
def test_a_name_that_no_file_can_have_is_a_reason(tmp_path, length):
    Image.new("L", (20, 20), 90).save(tmp_path / "in.png")
    target = tmp_path / ("a" * (length - 4) + ".jpg")
    colorizer = Colorizer(Gray(), size=16)
    with pytest.raises(OutputError) as error:
        colorizer.colorize_file(tmp_path / "in.png", target)
    assert os.strerror(errno.ENAMETOOLONG) in str(error.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_a_file_that_may_not_become_so_large_is_named(suffix, tmp_path):
    noise = pyvips.Image.gaussnoise(200, 200).cast("uchar")
    rgb = noise.bandjoin([noise, noise]).copy(interpretation="srgb")
    target = tmp_path / f"a.{suffix}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(OutputError, match=rf"can't write .*a\.{suffix}: .*`ulimit -f`"):
            Output(target, "source").write(rgb)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compare", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_nothing_of_a_failed_picture_is_left_to_the_collector_of_garbage(suffix, compare, tmp_path):
    """Where it ended a thread while another one was begun, the next picture waited for ever."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 200), "uint8")
    Image.fromarray(noise).save(tmp_path / "in.png")
    colorizer = Colorizer(Gray(), size=16)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    gc.disable()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        for _ in range(3):
            with pytest.raises(OutputError):
                colorizer.colorize_file(
                    tmp_path / "in.png", tmp_path / f"a.{suffix}", compare=compare
                )
            assert not [one for one in threading.enumerate() if "Executor" in one.name]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        gc.enable()
