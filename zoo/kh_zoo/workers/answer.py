"""What came of a picture, said where it was coloured."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kh_zoo.workers.stamp import Stamp


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a picture, said where it was coloured."""

    reason: str | None = None
    """Why it failed; None if its output was written."""
    read: Stamp | None = None
    """Of the input, as it was read; None if it failed."""
    written: Stamp | None = None
    """Of the output; None if it failed."""
    notes: tuple[str, ...] = ()
    """What was not taken from its file."""
    seconds: float = 0.0
    fatal: bool = False
    """Whether what is left would fail for the same reason, so that it need not be begun."""
    short_of_memory: bool = False
    """Whether the process that coloured it should end, so that the next one begins afresh."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Answer":
        """Read one that came as JSON, from `dataclasses.asdict`; other fields are passed over."""
        stamps = {name: record.get(name) for name in ("read", "written")}
        return cls(
            record.get("reason"),
            **{name: Stamp(**stamp) if stamp else None for name, stamp in stamps.items()},
            notes=tuple(record.get("notes", ())),
            seconds=record.get("seconds", 0.0),
            fatal=record.get("fatal", False),
            short_of_memory=record.get("short_of_memory", False),
        )
