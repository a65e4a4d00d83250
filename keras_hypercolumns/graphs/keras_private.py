"""What Keras has no public name for: the one place that breaks when it moves."""

from typing import Any

import keras
from keras.src.backend.common import global_state


def calls_by_depth(function: keras.Function) -> dict[int, list[Any]]:
    """The calls of a function, by how many lie behind them: `operations` has a shared layer once.

    Args:
        function: Or a functional model.
    """
    depths: dict[int, list[Any]] = function._nodes_by_depth
    return depths


def forget_postponed_variables() -> None:
    """Let Keras make up no variables for later, when it leaves a scope without state."""
    global_state.set_global_attribute("uninitialized_variables", [])
