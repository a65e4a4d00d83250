"""The `HyperColumnProjection` layer."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.layers.axes import GivenCenter, GivenStride
from keras_hypercolumns.layers.tap_layer import TapLayer, layer_name

QUANTIZATIONS = ("int8", "int4", "float8")


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
        interpolation: `"bilinear"` (default), `"nearest"`, or `"bicubic"`: Keys's convolution with
            a of -1/2. Beyond the edge of a map is its edge.
        coordinates: How pixels of the output are mapped to cells of a map. `"half_pixel"`
            (default) aligns the areas that pixels cover; `"legacy"` aligns their corners at zero,
            as the first version of TensorFlow did, which shifts a map of stride s by
            (s - 1) / 2 pixels; `"align_corners"` aligns the centres of the corner pixels.
        strides: Dict from tap to its stride, in pixels of the network's input per cell, an int or a
            pair of them, down and across (and the reference's where it is neither a tap nor the
            input itself, whose stride is 1). With
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
            moves cells at odd sizes. Where they differ down and across, a pair of such lists,
            `([0.5], [0.0])`. Defaults to `None`: all have (stride - 1) / 2.
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
        lora_rank: Rank of a low-rank change of the kernel, which is trained in its place; see
            `enable_lora`. Defaults to `None`: the kernel itself is trained.
        lora_alpha: The change is multiplied by `lora_alpha / lora_rank`. Defaults to `lora_rank`.
        quantization_config: A `keras.quantizers.QuantizationConfig` of the kernel of a layer whose
            `dtype` is a quantized policy; see `quantize`. Defaults to `None`: that of the policy.

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
        strides: Mapping[str, GivenStride] | None = None,
        centers: Mapping[str, GivenCenter] | None = None,
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
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
        self.lora_rank = lora_rank
        self.lora_alpha = lora_rank if lora_alpha is None else lora_alpha
        self.lora_enabled = False
        self.quantization_config = quantization_config
        self._quantized: dict[str, Any] = {}

    def build(self, input_shape: Any) -> None:
        self.tap_channels = tuple(self._channels(self._shapes_by_name(input_shape)))
        if self.quantization_mode is None:
            self._kernel = self.add_weight(
                name="kernel",
                shape=(1, 1, sum(self.tap_channels), self.filters),
                initializer=self.kernel_initializer,
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
        else:
            self._build_quantized(self._policy())
            if self.quantization_mode == "float8":  # which is trained
                shape = (sum(self.tap_channels), self.filters)
                self._fill_quantized(ops.reshape(self.kernel_initializer((1, 1, *shape)), shape))
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
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    @property
    def kernel(self) -> Any:
        """The kernel `(1, 1, sum of channels, filters)`, what LoRA adds to it included."""
        if not self.built:
            raise AttributeError(f"layer {self.name!r} has no `kernel` before it is built")
        if self._quantized:
            raise AttributeError(
                f"layer {self.name!r} has no `kernel` once it is quantized: it has one for each tap"
            )
        if not self.lora_enabled:
            return self._kernel
        change = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
        return self._kernel + ops.cast(self._lora_scale * change, self._kernel.dtype)

    @property
    def _lora_scale(self) -> float:
        assert self.lora_rank
        assert self.lora_alpha is not None
        return self.lora_alpha / self.lora_rank

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the kernel, and train a change of it that has a low rank.

        As `keras.layers.Conv2D.enable_lora`: the kernel becomes `kernel + lora_alpha / rank *
        (a @ b)`, with `a` of shape `(1, 1, sum of channels, rank)` and `b` of `(rank, filters)`. It
        may be quantized, before or after. A file of the model has the kernel, `a` and `b` apart.

        Example:

        >>> import numpy as np
        >>> from keras_hypercolumns import HyperColumnProjection
        >>> layer = HyperColumnProjection(21, ("early", "late"))
        >>> y = layer({"early": np.ones((1, 4, 4, 64)), "late": np.ones((1, 2, 2, 512))})
        >>> layer.enable_lora(4)
        >>> [tuple(x.shape) for x in layer.trainable_weights]
        [(21,), (1, 1, 576, 4), (4, 21)]

        Args:
            rank: A positive int, less than the number of `filters` if it is to save anything.
            lora_alpha: Defaults to `rank`.
            a_initializer: Of `a`.
            b_initializer: Of `b`. Defaults to `"zeros"`: nothing changes at first.

        Raises:
            ValueError: If the layer isn't built, has LoRA already or a constraint of its kernel, or
                if `rank` is no positive int.

        Reference:
            - [Hu et al., 2021](https://arxiv.org/abs/2106.09685), section 4.1.
        """
        if not isinstance(rank, int | np.integer) or rank < 1:
            raise ValueError(f"`rank` should be a positive int. Received: {rank!r}")
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} should be built before `enable_lora`: call it on maps first"
            )
        if self.lora_enabled:
            raise ValueError(f"layer {self.name!r} has LoRA already, of the rank {self.lora_rank}")
        if self.kernel_constraint:
            raise ValueError(
                f"`kernel_constraint` of layer {self.name!r} should be None for `enable_lora`: it "
                f"doesn't bind what is added to the kernel. Received: {self.kernel_constraint}"
            )
        # Keras lets nothing be added to a layer that is built.
        self._tracker.unlock()
        # In float32, as Keras's: small steps would be lost in half precision.
        settings = {"dtype": "float32", "regularizer": self.kernel_regularizer}
        self.lora_kernel_a = self.add_weight(
            name="lora_kernel_a",
            shape=(1, 1, sum(self.tap_channels), int(rank)),
            initializer=keras.initializers.get(a_initializer),
            **settings,
        )
        self.lora_kernel_b = self.add_weight(
            name="lora_kernel_b",
            shape=(int(rank), self.filters),
            initializer=keras.initializers.get(b_initializer),
            **settings,
        )
        self._tracker.lock()
        if not self._quantized:
            self._kernel.trainable = False
        self.lora_rank = int(rank)
        self.lora_alpha = self.lora_rank if lora_alpha is None else lora_alpha
        self.lora_enabled = True

    def quantize(
        self, mode: str | None = None, type_check: bool = True, config: Any = None
    ) -> None:
        """Make the kernel one of int8, int4 or float8, in place; `model.quantize` calls this.

        Each tap then has a `keras.layers.Dense` of its own, quantized as Keras does it: maps of
        different taps differ in their range, so each has its own scales. With int8 and int4 only a
        bias and LoRA can be trained; float8 is for training.

        Example:

        >>> import numpy as np
        >>> from keras_hypercolumns import HyperColumnProjection
        >>> maps = {"early": np.ones((1, 4, 4, 64)), "late": np.ones((1, 2, 2, 512))}
        >>> layer = HyperColumnProjection(21, ("early", "late"))
        >>> before = layer(maps)
        >>> layer.quantize("int8")
        >>> bool(np.abs(np.array(layer(maps)) - np.array(before)).max() < 0.02)
        True

        Args:
            mode: `"int8"`, `"int4"` or `"float8"`. May be left out where `config` says it.
            type_check: Whether to refuse subclasses, of which this doesn't know what they compute.
            config: A `keras.quantizers.QuantizationConfig`. Defaults to `None`: Keras's for `mode`.

        Raises:
            ValueError: If the layer isn't built, or is quantized already; for `"float8"` with a
                constraint of the kernel.
            NotImplementedError: If `mode` is another one, or the layer a subclass.

        Reference:
            - [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), section 2.1.
        """
        # Keras puts checks around this method, and resolves `mode` and `config`.
        if type_check and type(self) is not HyperColumnProjection:
            raise NotImplementedError(
                f"layer {self.name!r} is a {type(self).__name__}, a subclass of "
                "HyperColumnProjection, which has to say itself how it is quantized"
            )
        if mode not in QUANTIZATIONS:
            raise NotImplementedError(unknown_name("mode", mode, QUANTIZATIONS))
        if mode == "float8" and self.kernel_constraint:
            raise ValueError(
                f"`kernel_constraint` of layer {self.name!r} should be None for float8: each tap "
                f"has a kernel of its own then. Received: {self.kernel_constraint}"
            )
        kernel = ops.convert_to_numpy(self._kernel)[0, 0]
        del self._kernel
        policy = self._policy()
        # The policy may be set first: then it says so.
        self._build_quantized(keras.DTypePolicy(policy.name.split("_from_")[-1]))
        self._fill_quantized(kernel)
        for dense in self._quantized.values():
            dense.quantize(mode, config=config)
            _leave_alone(dense)
        self.quantization_config = config
        self._is_quantized = True
        if policy.quantization_mode is None:
            self.dtype_policy = dense.dtype_policy

    def quantized_call(self, inputs: Any) -> Any:
        """As `call`: the taps' own layers know that they are quantized."""
        return self.call(inputs)

    def _policy(self) -> Any:
        policy = self.dtype_policy
        return (
            policy[self.path] if isinstance(policy, keras.dtype_policies.DTypePolicyMap) else policy
        )

    def _build_quantized(self, policy: Any) -> None:
        """Give each tap a `Dense` of its own, of such a policy."""
        for tap, channels in zip(self.taps, self.tap_channels, strict=True):
            dense = keras.layers.Dense(
                self.filters,
                use_bias=False,
                kernel_regularizer=self.kernel_regularizer,
                quantization_config=self.quantization_config,
                dtype=policy,
                name=layer_name(tap),
            )
            dense.build((None, None, None, channels))
            if policy.quantization_mode is not None:
                _leave_alone(dense)
            self._quantized[tap] = dense
        self._is_quantized = policy.quantization_mode is not None

    def _fill_quantized(self, kernel: Any) -> None:
        """Give the layers of the taps their rows of `(sum of channels, filters)`."""
        for tap, rows in self._rows().items():
            self._quantized[tap].kernel.assign(kernel[rows])

    def _rows(self) -> dict[str, slice]:
        """Each tap's rows of the kernel."""
        rows, start = {}, 0
        for tap, channels in zip(self.taps, self.tap_channels, strict=True):
            rows[tap] = slice(start, start + channels)
            start += channels
        return rows

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
        # With LoRA it is computed.
        kernel = None if self._quantized else ops.convert_to_tensor(self.kernel)[0, 0]
        terms = {}
        for tap, rows in self._rows().items():
            if kernel is None:
                projected = self._project_quantized(maps[tap], tap, rows)
            else:
                rule = "bhwc,cf->bhwf" if last else "bchw,cf->bfhw"
                projected = ops.einsum(rule, maps[tap], kernel[rows])
            terms[tap] = self._resize(projected, tap, size)
        return terms

    def _project_quantized(self, x: Any, tap: str, rows: slice) -> Any:
        last = self.data_format == "channels_last"
        x = x if last else ops.transpose(x, (0, 2, 3, 1))
        projected = self._quantized[tap](x)
        if self.lora_enabled:
            change = ops.matmul(
                ops.convert_to_tensor(self.lora_kernel_a)[0, 0, rows],
                ops.convert_to_tensor(self.lora_kernel_b),
            )
            projected += ops.matmul(x, ops.cast(self._lora_scale * change, x.dtype))
        return projected if last else ops.transpose(projected, (0, 3, 1, 2))

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
            "quantization_config": keras.saving.serialize_keras_object(self.quantization_config),
            **(
                {"lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}
                if self.lora_rank
                else {}
            ),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HyperColumnProjection":
        given = keras.saving.deserialize_keras_object(config.get("quantization_config"))
        layer: HyperColumnProjection = super().from_config({**config, "quantization_config": given})
        return layer


def _leave_alone(dense: Any) -> None:
    """Let `model.quantize` pass by: it finds a tap's layer as soon as there is one."""
    dense.quantize = lambda *args, **kwargs: None
