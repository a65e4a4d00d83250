"""What a colorizer is made of: its trunk, its heads, and the taps that each of them sees."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_hypercolumns.graphs.model_graph import calls_of
from keras_hypercolumns.layers.lightness_to_gray import LightnessToGray

TRUNK = "trunk"
SCALING = "scale_lightness"
HEAD, AB = "head_", "ab_"
"""Begin the names of the last layer with weights of a head, and of the one that gives its AB."""


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class ColorizerModel(keras.Model):
    """A functional model from lightness to colour, which says what it is made of.

    `colorizer` and `joint_colorizer` build it.

    Example:

    >>> from keras_hypercolumns import joint_colorizer
    >>> model = joint_colorizer(("relu3to5", "pool1to4"))
    >>> model.taps["relu3to5"]
    ('relu3_4', 'relu4_4', 'relu5_4')
    >>> tuple(model.heads["pool1to4"].kernel.shape)
    (1, 1, 960, 2)
    >>> model.trunk.output["pool4"].shape
    (None, None, None, 512)
    >>> model.trunk.trainable = False

    Input shape:
        `(batch, height, width, 1)`: L of CIELAB, 0..100.

    Output shape:
        `(batch, height, width, 2)`: A and B of CIELAB; of a `joint_colorizer` a dict of these.
    """

    @property
    def trunk(self) -> keras.Model:
        """The network that sees the picture: its output is a dict from tap to feature map."""
        return self.get_layer(TRUNK)

    @property
    def scaling(self) -> keras.Layer:
        """The layer that brings L to what the trunk sees."""
        return self.get_layer(SCALING)

    @property
    def trunk_input(self) -> str:
        """What the trunk sees of L: `"scaled"`, L / 50 - 1, or `"gray"`, 0..255."""
        return "gray" if isinstance(self.scaling, LightnessToGray) else "scaled"

    @property
    def heads(self) -> dict[str, keras.Layer]:
        """The last layer with weights of every head, by its name: of AB, or of scores of colours.

        Those that are linear in their hypercolumn are a `HyperColumnProjection`.
        """
        return {name: self.get_layer(f"{HEAD}{name}") for name in self._names()}

    @property
    def maps(self) -> dict[str, Any]:
        """The feature maps of the trunk within this model, symbolic, by tap."""
        call = next(call for call in calls_of(self) if call.operation is self.trunk)
        found: dict[str, Any] = keras.tree.pack_sequence_as(self.trunk.output, call.outputs)
        return found

    @property
    def taps(self) -> dict[str, tuple[str, ...]]:
        """The taps that every head sees, in the order of the trunk's output."""
        maps = {id(x): tap for tap, x in self.maps.items()}
        found = {}
        for name in self._names():
            seen = _seen(self, self.get_layer(f"{AB}{name}").output)
            found[name] = tuple(tap for key, tap in maps.items() if key in seen)
        return found

    def unit(self, head: str) -> float:
        """CIELAB units per unit of what a head gives that regresses A and B."""
        return float(self.get_layer(f"{AB}{head}").scale)

    def _names(self) -> Iterable[str]:
        if isinstance(self.output, dict):
            return list(self.output)
        return [x.name.removeprefix(AB) for x in self.layers if x.name.startswith(AB)]


def _seen(model: keras.Model, output: Any) -> set[int]:
    """The ids of all tensors that an output of a model is computed from."""
    return {id(x) for call in calls_of(model, [output]) for x in call.input_tensors}
