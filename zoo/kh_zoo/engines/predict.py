"""What an engine predicts is looked at before it colours a picture."""

import numpy as np

from kh_zoo.engines import Engine
from kh_zoo.errors import PredictionError

_MOST = 500.0
"""Of A and B, in CIELAB units: colours of sRGB have at most 108, and a prediction may overshoot."""


def predict_ab(engine: Engine, lightness: np.ndarray) -> np.ndarray:
    """Predict AB with any engine, and check that it can be a colour.

    Example:

    >>> import numpy as np
    >>> from kh_zoo.engines.predict import predict_ab
    >>> class Sepia:
    ...     def predict_ab(self, lightness):
    ...         return np.broadcast_to([8.0, 20.0], (*lightness.shape, 2))
    >>> predict_ab(Sepia(), np.full((16, 32), 50.0, "float32")).shape
    (16, 32, 2)

    Args:
        engine: As of `create_engine`, or of one's own.
        lightness: L, `(height, width)`, in 0..100.

    Returns:
        float array `(height, width, 2)`, in CIELAB units.

    Raises:
        PredictionError: What the engine gives is no such array, not finite, or no colour.
    """
    given = engine.predict_ab(lightness)
    wanted = (*lightness.shape, 2)
    try:
        ab = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise _no_colors(f"a {type(given).__name__}", wanted) from error
    if ab.shape != wanted or ab.dtype.kind not in "fiu":
        raise _no_colors(f"{ab.dtype} {ab.shape}", wanted)
    if not np.isfinite(ab).all():
        raise PredictionError(
            "the model predicts no colours, but numbers that are not finite: its weights are "
            "damaged, or its engine is at fault"
        )
    most = float(np.abs(ab.astype(float)).max())
    if most > _MOST:
        raise PredictionError(
            f"the model predicts no colours, but A and B of up to {most:.3g}, where at most "
            f"{_MOST:g} can be meant: its weights are damaged, or its engine is at fault"
        )
    return ab


def _no_colors(what: str, wanted: tuple[int, ...]) -> PredictionError:
    return PredictionError(f"the engine should give numbers {wanted}. Received: {what}")
