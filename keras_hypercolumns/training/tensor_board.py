"""Event files for TensorBoard, on every backend."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

HISTOGRAM_BINS = 64


class TensorBoard:
    """Writes what happens at the checkpoints of a run to an event file.

    Keras's own callback needs TensorFlow; this needs tensorboardX.

    Args:
        folder: The folder of the event files. One is made at the first checkpoint; those of
            earlier parts of the run stay, and TensorBoard shows all of them as one.

    Raises:
        ImportError: If tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            raise ImportError(
                "Logs for TensorBoard need the package tensorboardX: "
                "`pip install 'keras-hypercolumns[tensorboard]'`"
            ) from None
        self.new_writer: Callable[[], Any] = lambda: SummaryWriter(str(folder))
        self.writer: Any = None

    def write(
        self,
        row: dict[str, float],
        learning_rate: float,
        sheet: Image.Image,
        weights: Sequence[keras.Variable],
    ) -> None:
        """Write one checkpoint.

        Args:
            row: Its row of the curves. `validation/...` keep their names; the losses stand below
                `training/`.
            learning_rate: Of the step that comes next.
            sheet: The sheet of validation pictures.
            weights: What to draw histograms of.
        """
        self.writer = self.writer or self.new_writer()
        step = row["step"]
        for name, value in row.items():
            if name not in ("step", "size", "seconds"):
                tag = name if name.startswith("validation/") else f"training/{name}"
                self.writer.add_scalar(tag, value, step)
        self.writer.add_scalar("learning_rate", learning_rate, step)
        self.writer.add_image("sheet", np.asarray(sheet), step, dataformats="HWC")
        for weight in weights:
            values = ops.convert_to_numpy(weight)
            # What has become infinite has no histogram, and must not end the training.
            if np.isfinite(values).all():
                self.writer.add_histogram(weight.path, values, step, bins=HISTOGRAM_BINS)
        self.writer.flush()

    def close(self) -> None:
        """End the event file."""
        if self.writer:
            self.writer.close()
