"""How a batch of pictures is coloured."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kh_zoo.catalog.find import find, no_vivid_head, open_source, vivid_head
from kh_zoo.catalog.records import DEFAULT_VARIANT
from kh_zoo.engines import (
    DEFAULT_DEVICE,
    DEFAULT_ENGINE,
    check_device,
    check_engine,
    check_keras_engine,
)
from kh_zoo.hub.store import file_digest
from kh_zoo.networks.model_folder import CONFIG, KERAS, KERAS_WEIGHTS, TENSORS, read_table
from kh_zoo.pictures.memory import max_memory

if TYPE_CHECKING:
    from kh_zoo.colorizer import Colorizer


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
    video: bool = False
    """Whether the pictures of a folder are frames, of one film."""

    def check_gpu(self) -> None:
        """Load the model if that tells whether there is the GPU that is asked for.

        Raises:
            EngineError: There is none.
        """
        if self.device.startswith("gpu"):
            self.colorizer()

    def colorizer(self) -> "Colorizer":
        """Load the model."""
        from kh_zoo.colorizer import Colorizer

        return Colorizer(
            self.model,
            engine=self.engine,
            device=self.device,
            size=self.size,
            saturation=self.saturation,
            vivid=self.vivid,
        )

    def resolved(self) -> dict[str, Any]:
        """The same for the journal: the model by its hash, defaults by what they stand for.

        Raises:
            ZooError: There is no such model, engine or device, as far as their names tell, or
                `KH_MAX_MEMORY` is no number.
        """
        check_device(self.device)
        max_memory()
        values = dataclasses.asdict(self)
        del values["device"]  # it decides no more than rounding
        if not self.video:
            del values["video"]  # as it was before there was one
        source = find(values.pop("model"))
        path = Path(source.folder or "")
        table = read_table(path / CONFIG)
        if table["architecture"] == KERAS:
            check_keras_engine(self.engine)
            if self.vivid:
                raise no_vivid_head(path)
            values |= {"engine": "keras", "variant": None}
            weights = KERAS_WEIGHTS
        else:
            folder, head = open_source(source, table)
            values["variant"] = vivid_head(folder, head) if self.vivid else head
            values["engine"] = self.engine or DEFAULT_ENGINE
            check_engine(values["engine"])
            values["size"] = self.size or folder.config.size
            weights = TENSORS
        return {
            **values,
            "weights": file_digest(path / weights),
            "config": file_digest(path / CONFIG),
            "revision": source.revision,
        }
