"""Models with dense hypercolumns into their projected twins, and back."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hypercolumns.graphs.model_graph import calls_of, check_functional, is_functional
from keras_hypercolumns.layers.hypercolumn import HyperColumn
from keras_hypercolumns.layers.hypercolumn_projection import HyperColumnProjection
from keras_hypercolumns.layers.tap_layer import SHARED

LINEAR = (
    "name",
    "trainable",
    "dtype",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "activity_regularizer",
)
"""What a projection takes over from the convolution or dense layer that it replaces."""


def project(model: keras.Model) -> keras.Model:
    """Copy a model, with each dense hypercolumn and 1x1 convolution joined into a projection.

    Wherever a `HyperColumn` is followed at once by a 1x1 `Conv2D`, or by a `Dense` on the last
    axis, the copy has one `HyperColumnProjection` of that layer's name, weights and settings. The
    outputs are equal, up to rounding; the concatenation is never built. So a model can be trained
    dense, or at points through a `HyperColumnSampler` that shares its head, and run projected.

    Only the first linear map after the hypercolumn moves. What follows it, its own activation
    included, stays as it is. A layer that reads the hypercolumn otherwise (a 3x3 convolution, a
    dropout or a normalisation, a second model) goes on reading it: the `HyperColumn` stays for
    that layer, while its 1x1 convolutions are joined all the same.

    The copy is a functional model that shares nothing with `model`: its layers are new, with the
    names, settings, flags `trainable` and values of the weights of those they stand for. Models
    within the model are copied likewise, and what is dense in them is projected. The copy is not
    compiled: compile it to train it.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import HyperColumn, project
    >>> picture = keras.Input((4, 4, 1))
    >>> maps = {"fine": picture, "coarse": keras.layers.MaxPooling2D()(picture)}
    >>> column = HyperColumn(("fine", "coarse"))(maps)
    >>> model = keras.Model(picture, keras.layers.Conv2D(3, 1, name="head")(column))
    >>> twin = project(model)
    >>> [type(layer).__name__ for layer in twin.layers]
    ['InputLayer', 'MaxPooling2D', 'HyperColumnProjection']
    >>> twin.get_layer("head").kernel.shape == model.get_layer("head").kernel.shape
    True
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> bool(np.allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-4))
    True

    Args:
        model: A functional model, or a `Sequential` one that is built. Its layers have to be
            serializable (`get_config` and `from_config`), as `keras.models.clone_model` asks. The
            1x1 convolution that is to move has strides 1, one group and the hypercolumn's data
            format; a dense layer needs `channels_last`, and no constraint of its kernel. Neither is
            quantized, nor reads anything but this hypercolumn. LoRA weights are merged into the
            kernel.

    Returns:
        The projected model, a `keras.Model`.

    Raises:
        ValueError: If `model` is neither functional nor a built `Sequential`; if nothing in it
            could be joined. The error says what stands behind each `HyperColumn`.

    Reference:
        - [Hariharan et al., 2015](https://arxiv.org/abs/1411.5752), section 3.2, "Efficient
          classification using convolutions and upsampling".
    """
    moved: list[str] = []
    found: list[str] = []

    def convert(model: keras.Model) -> keras.Model:
        heads, followers = _heads(model)
        moved.extend(heads)
        found.extend(followers)
        columns: dict[int, Any] = {}

        def replace(layer: Any) -> Any:
            if layer.name not in heads:
                return None
            config = layer.get_config()
            return HyperColumnProjection.from_config(
                {
                    **heads[layer.name].get_config(),
                    **{key: config.get(key) for key in LINEAR},
                    "filters": config["filters" if "filters" in config else "units"],
                }
            )

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer.name in heads:
                _, args, kwargs = columns[id(args[0] if args else kwargs["inputs"])]
            output = layer(*args, **kwargs)
            if isinstance(layer, HyperColumn):
                # Where nothing reads this output the dense layer drops out of the new model.
                columns[id(output)] = output, args, kwargs
            return output

        return _copy(model, HyperColumn, replace, call, convert)

    check_functional(model)
    twin = convert(model)
    if not moved:
        raise ValueError(
            "`model` should have a HyperColumn that is followed at once by a 1x1 Conv2D (strides "
            "1, one group, the same data format) or by a Dense (channels_last). "
            f"Received: model {model.name!r} with {'; '.join(found) or 'no HyperColumn'}"
        )
    return twin


def unproject(model: keras.Model) -> keras.Model:
    """Copy a model, with each `HyperColumnProjection` as a `HyperColumn` and a 1x1 `Conv2D`.

    The way back from `project`: the outputs are equal, up to rounding. The convolution takes the
    projection's name, and the hypercolumn that name with `_hypercolumn` behind it. LoRA weights are
    merged into the kernel; a quantized projection stays one. The copy shares nothing with `model`
    and is not compiled.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_hypercolumns import HyperColumnProjection, unproject
    >>> picture = keras.Input((4, 4, 1))
    >>> maps = {"fine": picture, "coarse": keras.layers.MaxPooling2D()(picture)}
    >>> head = HyperColumnProjection(3, taps=("fine", "coarse"), name="head")
    >>> model = keras.Model(picture, head(maps))
    >>> dense = unproject(model)
    >>> [layer.name for layer in dense.layers[-2:]]
    ['head_hypercolumn', 'head']
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> bool(np.allclose(dense.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-4))
    True

    Args:
        model: A functional model, or a `Sequential` one that is built.

    Returns:
        The dense model, a `keras.Model`.

    Raises:
        ValueError: If `model` is neither functional nor a built `Sequential`, or has no
            `HyperColumnProjection` that isn't quantized.
    """
    columns: dict[int, HyperColumn] = {}

    def convert(model: keras.Model) -> keras.Model:
        def replace(layer: Any) -> Any:
            if type(layer) is not HyperColumnProjection or layer.quantization_mode is not None:
                return None
            config = layer.get_config()
            taps = {key: config[key] for key in SHARED}
            convolution = keras.layers.Conv2D.from_config(
                {
                    **{key: config.get(key) for key in LINEAR},
                    "filters": layer.filters,
                    "kernel_size": 1,
                    "data_format": layer.data_format,
                }
            )
            columns[id(convolution)] = HyperColumn.from_config(
                {**taps, "name": f"{layer.name}_hypercolumn", "dtype": config["dtype"]}
            )
            return convolution

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if id(layer) in columns:
                return layer(columns[id(layer)](*args, **kwargs))
            return layer(*args, **kwargs)

        return _copy(model, HyperColumnProjection, replace, call, convert)

    check_functional(model)
    twin = convert(model)
    if not columns:
        raise ValueError(
            "`model` should have a HyperColumnProjection that is not quantized. "
            f"Received: model {model.name!r} without one"
        )
    return twin


def _heads(model: Any) -> tuple[dict[str, HyperColumn], list[str]]:
    """Return the layers that can move, each with its hypercolumn, and what reads each of those."""
    calls = calls_of(model)
    columns = {
        id(tensor): call.operation
        for call in calls
        if type(call.operation) is HyperColumn
        for tensor in call.outputs
    }
    readers: dict[str, Any] = {call.operation.name: call.operation for call in calls}
    read: dict[str, set[HyperColumn | None]] = {name: set() for name in readers}
    for call in calls:
        # All calls of a layer count: a convolution that also reads something else can't move.
        read[call.operation.name] |= {columns.get(id(tensor)) for tensor in call.input_tensors}

    heads = {}
    for name, sources in read.items():
        column = next(iter(sources)) if len(sources) == 1 else None
        if column is not None and _is_pointwise(readers[name], column):
            heads[name] = column
    followers = []
    for column in dict.fromkeys(columns.values()):
        names = [name for name, sources in read.items() if column in sources]
        kinds = [f"{type(readers[name]).__name__} {name!r}" for name in names]
        if any(columns.get(id(tensor)) is column for tensor in model.outputs):
            kinds.append("the model's output")
        followers.append(f"HyperColumn {column.name!r} followed by {', '.join(kinds)}")
    return heads, followers


def _is_pointwise(layer: Any, column: HyperColumn) -> bool:
    """Whether `layer` is linear on each pixel's channels, as `HyperColumnProjection` is."""
    if type(layer) is keras.layers.Conv2D:
        # The padding and the dilation of a 1x1 kernel change nothing.
        fits = (
            layer.kernel_size == layer.strides == (1, 1)
            and layer.groups == 1
            and layer.data_format == column.data_format
        )
    else:
        # A constraint of its kernel would mean other axes.
        fits = (
            type(layer) is keras.layers.Dense
            and column.data_format == "channels_last"
            and layer.kernel_constraint is None
        )
    return fits and layer.quantization_mode is None


def _copy(
    model: Any,
    kind: type[keras.layers.Layer],
    replace: Callable[[Any], Any],
    call: Callable[..., Any],
    convert: Callable[[Any], Any],
) -> keras.Model:
    """Copy `model` with its weights, some layers replaced.

    Args:
        model: A functional or built `Sequential` model.
        kind: Models inside `model` that hold such a layer go through `convert`.
        replace: From a layer to the new one that takes its place, or `None` to keep its kind.
        call: Calls a new layer on what the old one was called on.
        convert: From a model inside `model` to its copy.
    """
    replaced, kept = [], []

    def clone(layer: Any) -> Any:
        copy = replace(layer)
        if copy is not None:
            replaced.append((layer, copy))
        elif _holds(layer, kind):
            copy = convert(layer)
        else:
            copy = layer.__class__.from_config(layer.get_config())
            kept.append((layer, copy))
        return copy

    # A model of its own around the graph: Keras would also compile the clone of a compiled one,
    # and in a Sequential model it takes no `call`.
    graph = getattr(model, "_functional", model)
    around = keras.Model(graph.input, graph.output, name=model.name)
    twin = keras.models.clone_model(around, clone_function=clone, call_function=call)

    # Of the model alone: the property would set all layers inside it too.
    twin._trainable = model.trainable
    for layer, copy in replaced:
        copy.trainable = layer.trainable
        copy.kernel.assign(np.reshape(ops.convert_to_numpy(layer.kernel), copy.kernel.shape))
        if layer.bias is not None:
            copy.bias.assign(ops.convert_to_numpy(layer.bias))
    for layer, copy in kept:
        if isinstance(layer, keras.layers.Layer):
            _copy_state(layer, copy)
    return twin


def _holds(layer: Any, kind: type[keras.layers.Layer]) -> bool:
    """Whether `layer` is a model whose graph can be read, with a layer of type `kind` in it."""
    return is_functional(layer) and any(type(inner) is kind for inner in layer._flatten_layers())


def _copy_state(layer: Any, copy: Any) -> None:
    """Copy flags and variables, as saving and loading does, so that layers can act on the load."""
    for old, new in zip(layer._flatten_layers(), copy._flatten_layers(), strict=True):
        new.trainable = old.trainable
        store: dict[str, Any] = {}
        old.save_own_variables(store)
        new.load_own_variables({key: ops.convert_to_numpy(x) for key, x in store.items()})
