"""From the name of a model to a `Colorizer` that is ready."""

from kh_zoo.colorizer import Colorizer
from kh_zoo.engines import DEFAULT_ENGINE, create_engine
from kh_zoo.resolve import resolve


def load_colorizer(model, *, engine=DEFAULT_ENGINE, size=None, saturation=1.0):
    """Load a model into an engine, once for any number of pictures.

    Args:
        model: Name of a variant, or a path, as for `resolve`.
        engine: `"onnx"` or `"keras"`.
        size: Short side, in pixels, of the copy that colours are predicted on. Defaults to
            `None`: what the model says.
        saturation: Factor of the predicted colour; 1 leaves it as predicted.

    Raises:
        VariantError, ModelError, EngineError: If there is no such model or engine.
    """
    folder, head = resolve(model)
    return Colorizer(create_engine(engine, folder, head), size or folder.config.size, saturation)
