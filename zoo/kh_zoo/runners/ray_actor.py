"""What colours on a machine of a Ray cluster."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from kh_zoo.errors import ZooError
from kh_zoo.workers.settings import Settings
from kh_zoo.workers.worker import Worker


class RayActor:
    """Holds a process that loads the model once, and that a picture may take down.

    Args:
        settings: How pictures are coloured.
        timeout: Seconds that a picture may take.
    """

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._worker = Worker(settings, timeout, threads=1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Colour the picture of a row, and return a row with the answer."""
        source, target = (Path(os.fsdecode(row[name])) for name in ("source", "target"))
        answer: dict[str, Any]
        try:
            answer = dataclasses.asdict(self._worker.colorize(source, target))
        except ZooError as error:
            answer = {"kind": type(error).__name__, "reason": str(error)}
        said, self._worker.warnings = self._worker.warnings, []
        answer |= {"number": int(row["number"]), "device": self._worker.device, "warnings": said}
        return {"answer": json.dumps(answer)}
