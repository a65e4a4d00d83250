import gc

import numpy as np
import pytest
import pyvips

from kh_zoo.pictures.strips import StripSource


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (33, 501)])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_pixels_arrive_as_they_are(random, kind, shape, rows):
    pixels = random.integers(0, np.iinfo(kind).max, (*shape, 3), kind, endpoint=True)
    strips = (pixels[top : top + rows] for top in range(0, shape[0], rows))
    like = pyvips.Image.black(shape[1], shape[0]).copy(xres=11.0)
    like.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "somebody")
    image = StripSource(strips, like, kind is np.uint16).image
    gc.collect()  # nothing else holds what feeds it
    assert image.interpretation == ("rgb16" if kind is np.uint16 else "srgb")
    assert (image.xres, image.get("exif-ifd0-Artist")) == (11.0, "somebody")
    np.testing.assert_array_equal(image.numpy().reshape(pixels.shape), pixels)


def test_strips_are_made_while_they_are_read(tmp_path):
    made = []

    def strips():
        for number in range(400):
            made.append(number)
            yield np.zeros((16, 2000, 3), np.uint8)

    source = StripSource(strips(), pyvips.Image.black(2000, 6400), False)
    assert len(made) < 20
    source.image.write_to_file(str(tmp_path / "a.jpg"))
    assert len(made) == 400


def test_an_error_of_the_strips_is_kept():
    def strips():
        yield np.zeros((16, 40, 3), np.uint8)
        raise ZeroDivisionError("in the second strip")

    source = StripSource(strips(), pyvips.Image.black(40, 64), False)
    with pytest.raises(pyvips.Error):
        source.image.copy_memory()
    assert isinstance(source.error, ZeroDivisionError)


def test_strips_end_with_it():
    ended = []

    def strips():
        try:
            while True:
                yield np.zeros((16, 2000, 3), np.uint8)
        finally:
            ended.append(True)

    with StripSource(strips(), pyvips.Image.black(2000, 6400), False) as source:
        source.image.crop(0, 0, 9, 9).avg()
    assert ended == [True]
    with pytest.raises(pyvips.Error):
        source.image.avg()
