"""From a model to a folder of its own: smaller, and for other programs."""

import os
import tempfile
from pathlib import Path

from safetensors.numpy import load_file

from kh_zoo.catalog.find import find, open_source, pull_source
from kh_zoo.errors import ModelError
from kh_zoo.files.whole_files import make_folder, write_whole
from kh_zoo.networks.model_folder import open_model_folder
from kh_zoo.networks.tensors import expand, quantize, write_model_folder

PRECISIONS = ("float32", "int8")
FORMATS = ("kh", "onnx")


def export_model(
    model: str | os.PathLike[str],
    target: str | os.PathLike[str],
    precision: str = "int8",
    to: str = "kh",
    whole: bool = False,
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
        whole: With `to="onnx"`: the graph alone, weights inside, and not from lightness to AB, but
            from a picture to the coloured one; see `whole_graph`.

    Raises:
        VariantError, ModelError: If there is no such model, it is a Keras model of its own, or
            `precision` or `to` is unknown.
        HubError: If it is to be pulled, and the Hub can't be reached, or refuses.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"`precision` should be one of {PRECISIONS}. Received: {precision!r}")
    if to not in FORMATS:
        raise ModelError(f"`to` should be one of {FORMATS}. Received: {to!r}")
    if whole and to != "onnx":
        raise ModelError(f"`whole` should go along with `to` 'onnx'. Received: `to` {to!r}")
    source = pull_source(find(model))
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
    tensors = {name: tensors[name] for name in kept}
    if not whole:
        write_model_folder(Path(target), config, tensors)
        if to == "onnx":
            from kh_zoo.networks.onnx_graph import write_graph

            write_graph(open_model_folder(Path(target)), head)
        return
    from kh_zoo.networks.onnx_graph import GRAPH
    from kh_zoo.networks.whole_graph import whole_graph

    with tempfile.TemporaryDirectory() as name:
        write_model_folder(Path(name), config, tensors)
        graph = whole_graph(open_model_folder(Path(name)), head)
    make_folder(Path(target))
    write_whole(Path(target) / GRAPH, graph.to_bytes())
