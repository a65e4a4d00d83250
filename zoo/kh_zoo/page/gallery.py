"""The pictures of the page: what is known of each, and the work that is left."""

import asyncio
import dataclasses
import itertools
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from kh_zoo.page import painter
from kh_zoo.page.choices import Choice
from kh_zoo.page.names import free_path, key
from kh_zoo.page.painter import Painter
from kh_zoo.plugins.describe import describe
from kh_zoo.workers.stamp import Stamp


@dataclasses.dataclass(frozen=True)
class Options:
    """How pictures are coloured and written."""

    choices: dict[str, Choice]
    """By label; the first one is that of new pictures."""
    engine: str | None = None
    """Of the first one; the others have the default."""
    device: str = "auto"
    suffix: str | None = None
    """Of the files to write; None for that of each picture."""
    quality: int | None = None
    output: Path | None = None
    """Folder that is written to as soon as a picture is done; None for downloads alone."""
    timeout: float = 900.0
    """Seconds that a picture may take."""

    def model_of(self, label: str) -> dict[str, Any]:
        """Return what a painter is told of the model of a choice."""
        choice = self.choices[label]
        engine = self.engine if choice.model == self.choices[self.first].model else None
        device = self.device
        return {"model": choice.model, "vivid": choice.vivid, "engine": engine, "device": device}

    @property
    def first(self) -> str:
        """The label of the first choice."""
        return next(iter(self.choices))


@dataclasses.dataclass
class Entry:
    """A picture of the page."""

    path: PurePosixPath
    """Its name, or its path from the folder that was chosen."""
    folder: Path
    """Of its own, for what is kept of it."""
    model: str
    """The choice that is wanted, by its label."""
    saturation: float = 1.0
    id: str = dataclasses.field(default_factory=lambda: secrets.token_hex(6))
    status: str = "waiting"
    """Or colouring, done, failed."""
    reason: str = ""
    """Why it failed."""
    wanted: PurePosixPath | None = None
    """The path that its output would have if no other had it."""
    target: PurePosixPath | None = None
    """The path of its output, below the folder or in the archive."""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the prediction said of the picture."""
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Of each model that was asked, the size it predicts at."""
    saved: tuple[str, float] | None = None
    """With which settings it was written to the output folder."""
    stamp: Stamp | None = None
    """Of what was written there."""
    written: tuple[str, float] | None = None
    """With which settings the file for downloads was written."""
    version: int = 0
    removed: bool = False

    @property
    def source(self) -> Path:
        """The picture, as it came."""
        return self.folder / "in" / self.path.name

    @property
    def file(self) -> Path:
        """The file for downloads."""
        return self.folder / "out" / (self.target or self.path).name

    def predicted(self, model: str) -> str:
        """Return where the prediction of a model is kept."""
        return str(self.folder / f"{list(self.sizes).index(model)}.npz")

    @property
    def settings(self) -> tuple[str, float]:
        """The model and the saturation that are wanted."""
        return self.model, self.saturation


class Gallery:
    """All pictures, in the order in which they came. To be used in one event loop.

    Two processes: one predicts, and writes to the output folder; the other makes what is shown or
    downloaded, and so need not wait for the first.

    Args:
        folder: For what is kept; removed by who made it.
        options: How pictures are coloured and written.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.entries: dict[str, Entry] = {}
        self.version = 0
        """Grows with every change."""
        self.predicting = Painter(options.timeout)
        self._showing = Painter(options.timeout)
        self._show_lock = asyncio.Lock()
        self._waiting: dict[str, None] = {}
        """Ids, in the order in which they are worked at."""
        self._wake = asyncio.Event()
        self._taken: set[str] = set()
        self._views = itertools.count()

    def new_folder(self) -> Path:
        """Make a folder for a picture that is coming."""
        folder = self.folder / secrets.token_hex(8)
        for part in ("in", "out"):
            (folder / part).mkdir(parents=True)
        return folder

    def add(self, path: PurePosixPath, folder: Path) -> Entry:
        """Take a picture that lies below `in` in a folder that `new_folder` made."""
        entry = Entry(path, folder, self.options.first)
        self.entries[entry.id] = entry
        self._push(entry)
        return entry

    def remove(self, entry: Entry) -> None:
        """Forget a picture. What was written to the output folder stays."""
        entry.removed = True
        del self.entries[entry.id]
        self._waiting.pop(entry.id, None)
        if entry.target:
            self._taken.discard(key(entry.target))
        if entry.status != "colouring":  # else when that ends
            shutil.rmtree(entry.folder, ignore_errors=True)
        self._changed(entry)

    def set(self, entries: Iterable[Entry], model: str, saturation: float) -> None:
        """Choose the model and the saturation of pictures; what has to be predicted comes first."""
        ahead: dict[str, None] = {}
        for entry in entries:
            entry.model, entry.saturation = model, saturation
            self._changed(entry)
            nothing_left = model in entry.sizes and not self.options.output
            # What is being coloured looks at its settings itself, when it ends.
            if entry.status != "colouring" and not (entry.status == "done" and nothing_left):
                ahead[entry.id] = None
                self._push(entry)
        waiting = {id: None for id in self._waiting if id not in ahead}
        self._waiting = ahead | waiting

    def changed_since(self, version: int) -> dict[str, Any]:
        """Return what a page has to know, as JSON has it."""
        return {
            "version": self.version,
            "ids": list(self.entries),
            "pictures": [
                self._public(entry) for entry in self.entries.values() if entry.version > version
            ],
        }

    @property
    def left(self) -> int:
        """How many pictures are still to be done."""
        return sum(entry.status in ("waiting", "colouring") for entry in self.entries.values())

    async def work(self) -> None:
        """Colour what waits, until this is cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            id = next(iter(self._waiting))
            del self._waiting[id]
            entry = self.entries[id]
            self._status(entry, "colouring")
            try:
                settings = None
                while settings != entry.settings:  # they may change meanwhile
                    settings = entry.settings
                    await self._bring_up_to(entry, *settings)
            except Exception as error:  # whatever it is, the next picture may be fine
                self._status(entry, "failed", describe(error))
            else:
                self._status(entry, "done")
            if entry.removed:
                shutil.rmtree(entry.folder, ignore_errors=True)

    async def shown(self, entry: Entry, level: int, model: str, saturation: float | None) -> bytes:
        """Return a JPEG to be shown."""
        return await self._jpeg(
            painter.show,
            source=str(entry.source),
            predicted=entry.predicted(model),
            level=level,
            saturation=saturation,
        )

    async def shown_small(self, entry: Entry, model: str, saturation: float) -> bytes:
        """Return a small JPEG to be shown."""
        return await self._jpeg(
            painter.show_small, predicted=entry.predicted(model), saturation=saturation
        )

    async def finished(self, entry: Entry) -> Path:
        """Return the file to be downloaded, written unless it is."""
        async with self._show_lock:
            settings = entry.settings
            if settings[0] not in entry.sizes:  # not yet: then what there is
                settings = (next(reversed(entry.sizes)), settings[1])
            if entry.written != settings:
                await asyncio.to_thread(self._write, self._showing, entry, entry.file, *settings)
                entry.written = settings
        return entry.file

    def stop(self) -> None:
        """End the processes."""
        for process in (self.predicting, self._showing):
            process.stop()
            process.close()

    async def _bring_up_to(self, entry: Entry, model: str, saturation: float) -> None:
        if entry.wanted is None or entry.target is None:
            answer = await asyncio.to_thread(
                self.predicting.do,
                painter.name_output,
                source=str(entry.source),
                suffix=self.options.suffix,
            )
            entry.wanted = entry.path.with_name(answer["name"])
            entry.target = self._free(entry.wanted)
        if model not in entry.sizes:
            number = len(entry.sizes)
            entry.facts = await asyncio.to_thread(
                self.predicting.do,
                painter.predict,
                source=str(entry.source),
                target=str(entry.folder / f"{number}.npz"),
                **self.options.model_of(model),
            )
            entry.sizes[model] = entry.facts["size"]
        if self.options.output and entry.saved != (model, saturation) and not entry.removed:
            target = self.options.output / entry.target
            if entry.saved and Stamp.of(target) != entry.stamp:  # somebody else's by now
                entry.target = self._free(entry.wanted)
                target = self.options.output / entry.target
            entry.stamp = await asyncio.to_thread(
                self._write, self.predicting, entry, target, model, saturation
            )
            entry.saved = (model, saturation)

    def _write(
        self, process: Painter, entry: Entry, target: Path, model: str, saturation: float
    ) -> Stamp:
        answer = process.do(
            painter.write,
            source=str(entry.source),
            predicted=entry.predicted(model),
            target=str(target),
            size=entry.sizes[model],
            saturation=saturation,
            quality=self.options.quality,
        )
        return Stamp(**answer["written"])

    async def _jpeg(self, task: Callable[..., dict[str, Any]], **values: Any) -> bytes:
        path = self.folder / f"{next(self._views)}.jpg"
        try:
            async with self._show_lock:
                await asyncio.to_thread(self._showing.do, task, target=str(path), **values)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)

    def _free(self, path: PurePosixPath) -> PurePosixPath:
        """A path that no other picture has, nor any file of the output folder."""
        output = self.options.output
        found = free_path(path, self._taken)
        while output and (output / found).exists():
            self._taken.add(key(found))
            found = free_path(path, self._taken)
        self._taken.add(key(found))
        return found

    def _push(self, entry: Entry) -> None:
        self._waiting[entry.id] = None
        self._status(entry, "waiting")
        self._wake.set()

    def _status(self, entry: Entry, status: str, reason: str = "") -> None:
        entry.status, entry.reason = status, reason
        self._changed(entry)

    def _changed(self, entry: Entry) -> None:
        self.version += 1
        entry.version = self.version

    def _public(self, entry: Entry) -> dict[str, Any]:
        output = self.options.output
        return {
            "id": entry.id,
            "name": entry.path.as_posix(),
            "target": entry.target and entry.target.as_posix(),
            "saved": bool(output and entry.saved),
            "status": entry.status,
            "reason": entry.reason,
            "model": entry.model,
            "models": list(entry.sizes),
            "saturation": entry.saturation,
            **{name: entry.facts.get(name) for name in ("width", "height", "least", "notes")},
        }
