"""Reading the graph of a functional Keras model."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from keras_hypercolumns.graphs.keras_private import calls_by_depth


def is_functional(model: object) -> bool:
    """Whether `model` is a functional or a built Sequential model, whose graph can be read."""
    if isinstance(model, keras.Sequential):
        # Without an input shape it is a list of layers, no graph yet, and has no `inputs`.
        return hasattr(model, "inputs")
    return isinstance(model, keras.Function)


def check_functional(model: object) -> None:
    """Raise a ValueError that says what to do if the graph of `model` can't be read."""
    if is_functional(model):
        return
    advice = "Wrap what you have: `inputs = keras.Input(...)`, `keras.Model(inputs, f(inputs))`."
    if isinstance(model, keras.Sequential):
        advice = (
            "This one is not built: begin it with `keras.Input((None, None, 3))`, or call "
            "`model.build((None, None, None, 3))`."
        )
    elif isinstance(model, keras.Model):
        advice = (
            "This one is subclassed, so it has no graph to read: write it with the functional "
            "API, or let its `call` return the maps."
        )
    raise ValueError(
        f"`model` should be a functional or a built Sequential Keras model. {advice} "
        f"Received: {model!r}"
    )


def inputs_of(model: keras.Model) -> Any:
    """The symbolic inputs of a functional model, in the structure that it is called on."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def outputs_of(model: keras.Model) -> Any:
    """The symbolic outputs of a functional model, in the structure that it returns."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def calls_of(model: keras.Model, outputs: Iterable[Any] | None = None) -> list[Any]:
    """The calls (nodes) that lead from the model's inputs to `outputs`, in an order to run them.

    `outputs` are symbolic tensors; by default the model's own.
    """
    graph = keras.Function(model.inputs, list(model.outputs if outputs is None else outputs))
    depths = calls_by_depth(graph)
    return [call for depth in sorted(depths, reverse=True) for call in depths[depth]]


def unfolded(call: Any) -> keras.Function | None:
    """The graph of what a layer that isn't Keras's own does in a call; None if it has none.

    Its `call` is run on symbolic tensors, of which Keras makes a graph, as of a functional model's.
    """
    layer = call.operation
    if not isinstance(layer, keras.layers.Layer) or type(layer).__module__.startswith("keras."):
        return None
    fresh = {id(x): keras.KerasTensor(x.shape, x.dtype) for x in call.input_tensors}

    def replaced(x: Any) -> Any:
        return fresh.get(id(x), x)

    try:
        args, kwargs = keras.tree.map_structure(
            replaced, (call.arguments.args, call.arguments.kwargs)
        )
        outputs = keras.tree.flatten(layer.call(*args, **kwargs))
        graph = keras.Function([fresh[id(x)] for x in call.input_tensors], outputs)
    except Exception:  # whatever the layer does with what is no number
        return None
    return graph if len(outputs) == len(call.outputs) else None


class Output(NamedTuple):
    """One of the tensors that a call gives."""

    call: Any
    tensor: Any


def outputs_by_name(model: keras.Model, prefix: str = "") -> dict[str, list[Output]]:
    """What each layer gives, by its name, once for each call; as `"inner/layer"` in nested models.

    Those of a layer that gives several are `"layer[0]"`, `"layer[1]"` and so on.
    """
    found: dict[str, list[Output]] = {}
    for call in calls_of(model):
        for name, tensor in named_outputs(call, prefix).items():
            found.setdefault(name, []).append(Output(call, tensor))
        if is_functional(call.operation):
            inner = f"{prefix}{call.operation.name}/"
            for name, outputs in outputs_by_name(call.operation, inner).items():
                found.setdefault(name, []).extend(outputs)
    return found


def named_outputs(call: Any, prefix: str = "") -> dict[str, Any]:
    """The tensors of a call by their names."""
    name = prefix + call.operation.name
    if len(call.outputs) == 1:
        return {name: call.outputs[0]}
    return {f"{name}[{i}]": x for i, x in enumerate(call.outputs)}
