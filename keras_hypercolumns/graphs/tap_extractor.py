"""A model that returns feature maps of another one, by the names of its layers."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import tree

from keras_hypercolumns.graphs.feature_info import check_taps
from keras_hypercolumns.graphs.model_graph import calls_of, inputs_of, outputs_by_name


def tap_extractor(model: keras.Model, taps: Iterable[str]) -> keras.Model:
    """Build a model that returns feature maps of `model`, by the names of its layers.

    It shares the layers and weights of `model`: training or freezing one does so to the other.
    Layers behind the last tap are left out. The names of the layers with their channels and
    strides are told by `feature_info(model)`.

    Example:

    >>> import keras
    >>> from keras_hypercolumns import tap_extractor
    >>> backbone = keras.applications.MobileNetV2(
    ...     include_top=False, weights=None, input_shape=(96, 96, 3)
    ... )
    >>> extractor = tap_extractor(backbone, ("block_1_expand_relu", "out_relu"))
    >>> {tap: tuple(output.shape) for tap, output in extractor.output.items()}
    {'block_1_expand_relu': (None, 48, 48, 96), 'out_relu': (None, 3, 3, 1280)}

    Args:
        model: A functional model, such as those of `keras.applications` and the backbones of
            keras-hub, or a built Sequential one. Its height and width may be unknown.
        taps: List or tuple of names of layers whose output is one 4D map. A layer of a model that
            is used as a layer is `"inner_model/layer"`; the outputs of a layer that gives several
            are `"layer[0]"`, `"layer[1]"` and so on. The name of an input is a tap too: the
            picture itself.

    Input shape:
        That of `model`.

    Output shape:
        A dict `{tap: map}`, which Keras may order by name, of 4D maps as the layers return them:

        - `channels_last`: `(batch, height_i, width_i, channels_i)`
        - `channels_first`: `(batch, channels_i, height_i, width_i)`

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If `model` isn't functional; if `taps` is a string, is empty, or has a name
            twice; if a tap isn't a layer of the model; if its output isn't one map: a layer
            called several times, one with several outputs, one whose output isn't 4D.
    """
    taps = check_taps(model, taps)
    maps, _ = _connect(model, taps)
    return keras.Model(
        inputs_of(model), {tap: maps[tap] for tap in taps}, name=f"{model.name}_taps"
    )


def _connect(
    model: keras.Model, taps: Iterable[str], outputs: Iterable[Any] = ()
) -> tuple[dict[str, Any], list[Any]]:
    """The maps of the taps, and `outputs` of the model, as symbolic tensors on its inputs."""
    named = {tap: found[0].tensor for tap, found in outputs_by_name(model).items()}
    inner_taps: dict[str, list[str]] = {}
    for tap in taps:
        name, nested, rest = tap.partition("/")
        if nested:
            inner_taps.setdefault(name, []).append(rest)
    if not inner_taps:
        return {tap: named[tap] for tap in taps}, list(outputs)

    # The tensors inside a nested model belong to its own inputs. So the layers are called once
    # more, with a version of the nested model in its place that returns its maps as well.
    wanted = [named[tap] for tap in taps if "/" not in tap]
    wanted += [
        x for call in calls_of(model) if call.operation.name in inner_taps for x in call.outputs
    ]
    computed = {id(x): x for x in model.inputs}
    maps = {}
    for call in calls_of(model, [*wanted, *outputs]):
        if call.is_input:
            continue
        layer = call.operation
        args, kwargs = call.arguments.fill_in(computed)
        if layer.name in inner_taps:
            inner_maps, inner_outputs = _connect(layer, inner_taps[layer.name], layer.outputs)
            inner = keras.Model(inputs_of(layer), (inner_outputs, inner_maps), name=layer.name)
            result, found = inner(*args, **kwargs)
            maps.update({f"{layer.name}/{tap}": x for tap, x in found.items()})
        else:
            result = layer(*args, **kwargs)
        computed.update(zip(map(id, call.outputs), tree.flatten(result), strict=True))
    maps.update({tap: computed[id(named[tap])] for tap in taps if "/" not in tap})
    return maps, [computed[id(output)] for output in outputs]
