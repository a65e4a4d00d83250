"""How much a picture counts, by the error that is left on it."""

from typing import Any

ERROR_FLOOR = 20.0
"""Squared CIELAB units added to a picture's error, so that no picture outweighs all others."""


def picture_weights(errors: Any, weighting: float) -> Any:
    """Return the weights of pictures with these mean squared errors of AB.

    A picture counts by its error to the power of minus `weighting`. At 0 all count alike, which
    makes the squared error least; towards 1 the mean PSNR over pictures is made high, where an
    error on a picture with little colour weighs as much as a larger one on a colourful picture.

    Args:
        errors: Array or tensor, in squared CIELAB units.
        weighting: From 0 to 1.
    """
    return (errors + ERROR_FLOOR) ** -weighting
