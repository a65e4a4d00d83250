"""The copy of a picture that a network sees."""

import pyvips


def reduced(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Bring a picture to a size: down by Lanczos' kernel, or up by Keys'.

    Only pictures with a side below 16 pixels are brought up. `resize` would displace them by half a
    pixel.

    Example:

    >>> import pyvips
    >>> from kh_zoo.pictures.reducing import reduced
    >>> ramp = pyvips.Image.new_from_array([[0.0, 10.0, 20.0, 30.0]])
    >>> reduced(ramp, 2, 2).numpy().round(1).tolist()
    [[4.7, 25.3], [4.7, 25.3]]

    Args:
        image: The picture.
        width: Width of the copy, in pixels.
        height: Height of the copy, in pixels.
    """
    # Width first: height first would hold up to 1600 rows of the whole width.
    across = width / image.width
    if across <= 1:
        image = image.resize(across, vscale=1, kernel="lanczos3")
    else:
        image = _raised(image, (across, 0, 0, 1), (width, image.height), idx=0.5, odx=-0.5)
    down = height / image.height
    if down <= 1:
        return image.resize(1, vscale=down, kernel="lanczos3")
    return _raised(image, (1, 0, 0, down), (width, height), idy=0.5, ody=-0.5)


def _raised(
    image: pyvips.Image, matrix: tuple[float, ...], size: tuple[int, int], **centres: float
) -> pyvips.Image:
    bicubic = pyvips.Interpolate.new("bicubic")
    area = [0, 0, *size]
    return image.affine(matrix, oarea=area, interpolate=bicubic, extend="copy", **centres)
