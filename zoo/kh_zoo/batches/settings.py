"""How a batch of pictures is coloured."""

import dataclasses
from pathlib import Path
from typing import Any

from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.catalog.resolve import find, open_source, vivid_head
from kh_zoo.engines import DEFAULT_DEVICE, DEFAULT_ENGINE
from kh_zoo.hub.store import file_digest
from kh_zoo.networks.model_folder import CONFIG, KERAS_WEIGHTS, TENSORS, read_table


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides, beside the picture, what is written, and on which device."""

    model: str = DEFAULT_VARIANT
    engine: str | None = None
    device: str = DEFAULT_DEVICE
    size: int | None = None
    saturation: float = 1.0
    vivid: bool = False
    quality: int | None = None
    compare: bool = False

    def resolved(self) -> dict[str, Any]:
        """The same for the journal: the model by its hash, defaults by what they stand for."""
        values = dataclasses.asdict(self)
        del values["device"]  # it decides no more than rounding
        source = find(values.pop("model"))
        path = Path(source.folder or "")
        if read_table(path / CONFIG)["architecture"] == "keras":
            values |= {"engine": "keras", "variant": None}
            weights = KERAS_WEIGHTS
        else:
            folder, head = open_source(source)
            values["variant"] = vivid_head(folder, head) if self.vivid else head
            values["engine"] = self.engine or DEFAULT_ENGINE
            values["size"] = self.size or folder.config.size
            weights = TENSORS
        return {
            **values,
            "weights": file_digest(path / weights),
            "config": file_digest(path / CONFIG),
            "revision": source.revision,
        }
