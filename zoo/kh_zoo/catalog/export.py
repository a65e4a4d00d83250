"""From the model of a run to a smaller one."""

from pathlib import Path

from kh_zoo.catalog.resolve import find_folder
from kh_zoo.errors import ModelError
from kh_zoo.networks.tensors import quantize, read_tensors, write_model_folder

PRECISIONS = ("float32", "int8")


def export_run(run: Path, target: Path, precision: str = "int8") -> None:
    """Write the model of a run, or of a model folder, to a folder of its own.

    Args:
        run: The run or model folder.
        target: The folder to write; made if it is missing.
        precision: `"int8"` stores the trunk's kernels in a quarter of the bytes, `"float32"`
            as they are.

    Raises:
        ModelError: If `run` holds no model, or `precision` is unknown.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"`precision` should be one of {PRECISIONS}. Received: {precision!r}")
    folder = find_folder(run)
    if folder is None:
        raise ModelError(f"`run` should be a run or model folder. Received: {run}")
    tensors = read_tensors(folder)
    if precision == "int8":
        tensors = quantize(tensors)
    write_model_folder(Path(target), folder.config, tensors)
