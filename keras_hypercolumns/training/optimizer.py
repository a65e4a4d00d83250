"""AdamW with a rate of its own for the trunk, and a running average of the weights."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

# After so many steps the average has half of its memory, however long that is.
_YOUNG = 9


class TrunkAdamW(keras.optimizers.AdamW):
    """AdamW in which some variables move slower, and which averages all of them.

    Args:
        slow: The variables that move slower, those of a pretrained trunk.
        slow_rate: Their learning rate, relative to that of the others.
        memory: Of the running average of the variables, 0..1; shorter at first, so that the
            beginning is soon forgotten. 0 for none.
        **kwargs: As for `keras.optimizers.AdamW`.

    Reference:
        - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146), section 3.2, "discriminative
          fine-tuning"; [Polyak and Juditsky, 1992](https://doi.org/10.1137/0330046), for averages.
    """

    def __init__(
        self, slow: Iterable[Any] = (), slow_rate: float = 1.0, memory: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(use_ema=memory > 0, ema_momentum=memory, **kwargs)
        self.slow_rate = slow_rate
        self._slow = {self._var_key(variable) for variable in slow}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self._var_key(variable) in self._slow:
            learning_rate = learning_rate * self.slow_rate
        if self._use_weight_decay(variable):
            decay = ops.cast(self.weight_decay * learning_rate, variable.dtype)
            self.assign_sub(variable, variable * decay)
        super().update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables: Any) -> None:
        """Nothing: `update_step` does it, at the rate of each variable."""

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        steps = ops.cast(self.iterations, "float32")
        memory = ops.minimum(self.ema_momentum, steps / (_YOUNG + steps))
        for variable, average in zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        ):
            average.assign(average * memory + variable * (1 - memory))

    def finalize_variable_values(self, var_list: Any) -> None:
        """Nothing: `fit` would end with the averages, and the next one go on from them."""

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside of this the variables have their averages, if there are any."""
        if not self.use_ema:
            yield
            return
        own = [np.array(ops.convert_to_numpy(one)) for one in self._trainable_variables]
        self.keep_averages()
        try:
            yield
        finally:
            for variable, value in zip(self._trainable_variables, own, strict=True):
                variable.assign(value)

    def keep_averages(self) -> None:
        """Set the variables to their averages, if there are any, for good."""
        if self.use_ema and int(self.iterations):
            for variable, average in zip(
                self._trainable_variables, self._model_variables_moving_average, strict=True
            ):
                variable.assign(average)
