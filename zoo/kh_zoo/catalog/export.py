"""From a model to a folder of its own: smaller, and for other programs."""

import os
from pathlib import Path

from safetensors.numpy import load_file

from kh_zoo.catalog.resolve import fetch, find, open_source
from kh_zoo.errors import ModelError
from kh_zoo.networks.model_folder import open_model_folder
from kh_zoo.networks.tensors import expand, quantize, write_model_folder

PRECISIONS = ("float32", "int8")
FORMATS = ("kh", "onnx")


def export_model(
    model: str | os.PathLike[str],
    target: str | os.PathLike[str],
    precision: str = "int8",
    to: str = "kh",
) -> None:
    """Write a model to a folder of its own.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from kh_zoo.catalog.export import export_model
    >>> folder = Path(tempfile.mkdtemp())
    >>> export_model("lite", folder, to="onnx")
    >>> sorted(path.name for path in folder.iterdir())
    ['config.json', 'model.onnx', 'model.safetensors']

    Args:
        model: As for `load_model`. All variants of a run or model folder, where none is named.
        target: The folder to write; made if it is missing.
        precision: `"int8"` stores the trunk's kernels in a quarter of the bytes, `"float32"`
            as they are.
        to: `"kh"`, a model folder; or `"onnx"`, one of a single variant, with a graph beside it
            that ONNX Runtime and others run on the weights in it.

    Raises:
        VariantError, ModelError: If there is no such model, it is a Keras model of its own, or
            `precision` or `to` is unknown.
        HubError: If it is to be pulled, and the Hub can't be reached, or refuses.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"`precision` should be one of {PRECISIONS}. Received: {precision!r}")
    if to not in FORMATS:
        raise ModelError(f"`to` should be one of {FORMATS}. Received: {to!r}")
    source = fetch(find(model))
    folder, head = open_source(source)
    config = folder.config
    if source.variant is not None or to == "onnx":
        vivid = config.vivid_head(head)
        config = config.part(dict.fromkeys([head, *([vivid] if vivid else [])]))
    tensors = load_file(folder.tensors_path)
    if precision == "float32":
        tensors = expand(tensors)
    elif not folder.quantized:
        tensors = quantize(tensors)
    kept = config.tensor_shapes(config.int8(tensors))
    write_model_folder(Path(target), config, {name: tensors[name] for name in kept})
    if to == "onnx":
        from kh_zoo.networks.onnx_graph import write_graph

        write_graph(open_model_folder(Path(target)), head)
