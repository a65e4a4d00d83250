"""Colours a photograph with ONNX Runtime alone, after `kh export lite lite-onnx --to onnx`.

    pip install numpy onnxruntime pillow
    python examples/onnx_alone.py lite-onnx/model.onnx photo.jpg photo.color.png

`model.safetensors`, which holds the weights, stays beside `model.onnx`.
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

SIZE = 128
"""Short side, in pixels, that colours are predicted at: `size` in `config.json`."""
# CIELAB of sRGB, under the light D65.
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def lightness(gray):
    """L, 0..100, of grey values, 0..255."""
    value = gray / 255
    luminance = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    line = luminance * 7.787 + 16 / 116
    return 116 * np.where(luminance > 0.008856, np.cbrt(luminance), line) - 16


def srgb(lab):
    """sRGB, 0..255, of L, A and B; what no screen shows is cut off."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = WHITE * np.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)
    value = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)
    return np.round(value * 255).astype("uint8")


def colorize(session, gray):
    """Colour a grey picture of Pillow's."""
    scale = min(1, SIZE / min(gray.size))
    # Networks of five blocks halve the size four times.
    small = gray.resize([max(1, round(side * scale / 16)) * 16 for side in gray.size])
    given = lightness(np.asarray(small, "float32"))[None, None].astype("float32")
    [ab] = session.run(["ab"], {"lightness": given})
    large = [
        np.asarray(Image.fromarray(channel).resize(gray.size, Image.Resampling.BICUBIC))
        for channel in ab[0]
    ]
    return Image.fromarray(srgb(np.stack([lightness(np.asarray(gray, "float32")), *large], -1)))


def main(model, source, target):
    """Colour a file into another."""
    options = onnxruntime.SessionOptions()
    # int8 kernels are expanded once, not on every run.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model, options)
    colorize(session, Image.open(source).convert("L")).save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
