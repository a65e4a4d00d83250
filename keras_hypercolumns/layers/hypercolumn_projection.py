"""The `HyperColumnProjection` layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.layers.tap_layer import TapLayer


@keras.saving.register_keras_serializable(package="keras_hypercolumns")
class HyperColumnProjection(TapLayer):
    """A 1x1 convolution of a hypercolumn, computed without building the hypercolumn.

    Equal to `Conv2D(filters, 1)(HyperColumn(taps)(inputs))`: interpolation works on each channel
    alone, and a 1x1 convolution on each pixel alone, so the two commute, and the sum over
    channels splits by tap. Each tap is therefore projected to `filters` channels at its own size,
    then upsampled, then added. Memory and time follow `filters` instead of the thousands of
    channels of the concatenation.

    The weights are those of the dense pair, in the same order and shape: one kernel
    `(1, 1, sum of channels, filters)` and one bias `(filters,)`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import HyperColumnProjection
    >>> maps = {
    ...     "early": np.array([[1.0, 2.0], [3.0, 4.0]], "float32").reshape(1, 2, 2, 1),
    ...     "late": np.array([[10.0]], "float32").reshape(1, 1, 1, 1),
    ... }
    >>> layer = HyperColumnProjection(1, taps=("early", "late"), kernel_initializer="ones")
    >>> keras.ops.convert_to_numpy(layer(maps))[0, :, :, 0].tolist()
    [[11.0, 12.0], [13.0, 14.0]]

    Args:
        filters: Number of output channels, a positive int.
        taps: List or tuple of the names of the feature maps of the hypercolumn, in the order of
            the kernel's rows.
        reference: Name of the map whose height and width the output takes: one of the taps, or a
            further entry of the input, such as the picture itself. Defaults to `None`: the
            largest height and width among the taps.
        interpolation: `"bilinear"` or `"nearest"`.
        coordinates: How pixels of the output are mapped to cells of a map. `"half_pixel"`
            (default) aligns the areas that pixels cover; `"legacy"` aligns their corners at zero,
            as the first version of TensorFlow did, which shifts a map of stride s by
            (s - 1) / 2 pixels; `"align_corners"` aligns the centres of the corner pixels.
        strides: Dict from tap to its stride, in pixels of the network's input per cell (and the
            reference's where it is neither a tap nor the input itself, whose stride is 1). With
            it a map is upsampled by the ratio of the strides, then cropped, or continued by its
            edge, to the output's size: then maps are aligned also where a pooling dropped an odd
            row. Defaults to `None`: upsampled by the ratio of the sizes.
        centers: Dict from tap (and the reference, where it is neither a tap nor the input itself)
            to the place of the centre of its first cell, down and across, in pixels of the
            network's input, whose pixel i has its centre at i; `FeatureInfo.center` is that. Only
            along with `strides`, and for half-pixel coordinates. A tap that it leaves out has
            (stride - 1) / 2, as poolings have it; strided convolutions of padded maps move the
            cells by up to 15 pixels at a stride of 32. Where the picture is the reference it may be
            a list, of which a height or width of n has `center[n % len(center)]`: padding "same"
            moves cells at odd sizes. Defaults to `None`: all have (stride - 1) / 2.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        activation: Applied to the sum. Defaults to `None`: linear.
        use_bias: Whether to add a bias. Defaults to `True`.
        kernel_initializer: Defaults to `"glorot_uniform"`.
        bias_initializer: Defaults to `"zeros"`.
        kernel_regularizer: Defaults to `None`.
        bias_regularizer: Defaults to `None`.
        kernel_constraint: Defaults to `None`.
        bias_constraint: Defaults to `None`.

    Input shape:
        A dict `{tap: map}` (further entries are ignored), or a tuple of the maps in the order of
        `taps`, followed by the reference where it is not a tap. Each map is 4D:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

    Output shape:
        4D, with the reference's height and width:

        - `channels_last`: `(batch, height, width, filters)`
        - `channels_first`: `(batch, filters, height, width)`

    Raises:
        ValueError: If `filters` is not a positive int; if `taps` is empty, or names a map twice; if
            `strides` leaves out a tap; if `centers` is given without `strides` or for other
            coordinates, or names something else; if an input is missing, is not 4D, or differs
            from the others in its batch size.

    Reference:
        - [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752), section 3.2, "Efficient
          classification using convolutions and upsampling".
    """

    def __init__(
        self,
        filters: int,
        taps: Iterable[str],
        reference: str | None = None,
        interpolation: str = "bilinear",
        coordinates: str = "half_pixel",
        strides: Mapping[str, int] | None = None,
        centers: Mapping[str, float | Sequence[float]] | None = None,
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            taps, reference, interpolation, coordinates, strides, centers, data_format, **kwargs
        )
        if not isinstance(filters, int | np.integer) or filters < 1:
            raise ValueError(f"`filters` should be a positive int. Received: {filters!r}")
        self.filters = int(filters)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        self.tap_channels = tuple(self._channels(self._shapes_by_name(input_shape)))
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, 1, sum(self.tap_channels), self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        total = None
        for term in self._terms(inputs).values():
            total = term if total is None else total + term
        if self.bias is not None:
            last = self.data_format == "channels_last"
            total = total + ops.reshape(self.bias, (1, 1, 1, -1) if last else (1, -1, 1, 1))
        return self.activation(total)

    def terms(self, inputs: Any) -> dict[str, Any]:
        """Return what each tap adds to the output: which of them decides, pixel by pixel.

        Their sum, the bias added and the activation applied, is the output, exactly.

        Example:

        >>> import keras
        >>> import numpy as np
        >>> from keras_hypercolumns import HyperColumnProjection
        >>> maps = {"early": np.ones((1, 2, 2, 1)), "late": np.full((1, 1, 1, 1), 10.0)}
        >>> layer = HyperColumnProjection(1, ("early", "late"), kernel_initializer="ones")
        >>> float(layer(maps)[0, 0, 0, 0])
        11.0
        >>> {tap: float(term[0, 0, 0, 0]) for tap, term in layer.terms(maps).items()}
        {'early': 1.0, 'late': 10.0}

        Args:
            inputs: The maps, as for the layer's call.

        Returns:
            A dict `{tap: term}`, each of the output's shape.

        Raises:
            ValueError: If the layer isn't built, and as its call does.
        """
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} should be built before `terms`: call it on maps first"
            )
        # As Keras has the inputs of a call: tensors, of the type that is computed in.
        maps = keras.tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), inputs)
        return self._terms(maps)

    def _terms(self, inputs: Any) -> dict[str, Any]:
        maps, size = self._maps_and_size(inputs)
        last = self.data_format == "channels_last"
        built = dict(zip(self.taps, self.tap_channels, strict=True))
        received = {tap: x.shape[-1 if last else 1] for tap, x in maps.items()}
        if any(received[tap] not in (None, channels) for tap, channels in built.items()):
            raise ValueError(
                f"`inputs` of layer {self.name!r} should have the channels that it was built "
                f"with, {built}. Received: {received}"
            )
        kernel = ops.convert_to_tensor(self.kernel)[0, 0]
        terms, start = {}, 0
        for tap, channels in built.items():
            part = kernel[start : start + channels]
            start += channels
            projected = ops.einsum("bhwc,cf->bhwf" if last else "bchw,cf->bfhw", maps[tap], part)
            terms[tap] = self._resize(projected, tap, size)
        return terms

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return self._shape_with_channels(self._shapes_by_name(input_shape), self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
