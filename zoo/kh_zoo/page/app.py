"""What the page asks for, and how it is answered."""

import asyncio
import contextlib
import json
import math
import mimetypes
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from kh_zoo.errors import ZooError
from kh_zoo.page.archive import zip_stream
from kh_zoo.page.gallery import Entry, Gallery
from kh_zoo.page.guard import Guard
from kh_zoo.page.names import safe_path
from kh_zoo.pictures.formats import READ, UNREAD
from kh_zoo.plugins.describe import describe
from kh_zoo.plugins.registry import plugins

STATIC = Path(__file__).parent / "static"
MOST_BYTES = 4 * 10**9
"""Of a picture; `MAX_PIXELS` of 16 bits and three colours take 3 GB."""
MOST_SATURATION = 10.0
PATIENCE = 30.0
"""Seconds that an upload may be behind the slowest one that is waited for."""
_SLOWEST = 10_000
"""Bytes a second: within a machine there are far more."""
_MOST_SETTINGS = 2**20
_SPARE = 5 * 10**8
"""Bytes that stay free on the disk."""
_MOST_LEVEL = 16


def create_app(gallery: Gallery, token: str, hosts: Iterable[str]) -> ASGIApp:
    """Make the application of a gallery.

    Args:
        gallery: The pictures.
        token: The secret in the address.
        hosts: Names and ports that the page is called by.
    """
    mimetypes.add_type("text/javascript", ".js")  # on Windows the registry may say otherwise
    pages = _Pages(gallery)
    one = "/pictures/{id}"
    routes = [
        Route("/", pages.index),
        Route("/state", pages.state),
        Route("/pictures", pages.upload, methods=["PUT"]),
        Route("/settings", pages.settings, methods=["POST"]),
        Route("/pictures.zip", pages.archive),
        Route(one, pages.remove, methods=["DELETE"]),
        Route(f"{one}/gray", pages.gray),
        Route(f"{one}/color", pages.color),
        Route(f"{one}/small", pages.small),
        Route(f"{one}/file", pages.file),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(gallery.work())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.to_thread(gallery.stop)

    handlers: Any = {HTTPException: _say, Exception: _say_bug}
    app = Starlette(
        routes=[Mount(f"/{token}", routes=routes)], exception_handlers=handlers, lifespan=lifespan
    )
    return Guard(app, token, hosts)


class _Pages:
    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def state(self, request: Request) -> Response:
        since = _number(request, "since", -1, math.inf)
        state = self._gallery.changed_since(int(since))
        if since < 0:
            options = self._gallery.options
            state |= {
                "choices": list(options.choices),
                "suffixes": [*READ, *UNREAD, *plugins().readers],
                "most_bytes": MOST_BYTES,
                "output": str(options.output) if options.output else None,
            }
        return JSONResponse(state)

    async def upload(self, request: Request) -> Response:
        try:
            path = safe_path(request.query_params.get("name", ""))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        announced = request.headers.get("content-length", "0")
        self._check_room(int(announced) if announced.isdecimal() else 0)
        folder = self._gallery.new_folder()
        try:
            await self._receive(request, folder / "in" / path.name)
            entry = self._gallery.add(path, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return JSONResponse({"id": entry.id}, 201)

    async def settings(self, request: Request) -> Response:
        content = b""
        async for piece in _pieces(request):
            content += piece
            if len(content) > _MOST_SETTINGS:
                raise HTTPException(413, f"more than {_MOST_SETTINGS:,} bytes of settings")
        try:
            wanted = json.loads(content)
            ids, model, saturation = wanted["ids"], wanted["model"], wanted["saturation"]
            entries = [self._gallery.entries[id] for id in ids if id in self._gallery.entries]
            saturation = float(saturation)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise HTTPException(
                400, "settings should be JSON with `ids`, `model` and `saturation`"
            ) from error
        self._gallery.set(entries, self._model(model), _saturation(saturation))
        return JSONResponse({})

    async def remove(self, request: Request) -> Response:
        self._gallery.remove(self._entry(request))
        return JSONResponse({})

    async def gray(self, request: Request) -> Response:
        return await self._shown(request, None)

    async def color(self, request: Request) -> Response:
        return await self._shown(request, self._wanted_saturation(request))

    async def small(self, request: Request) -> Response:
        entry, model = self._predicted(request)
        with _explained():
            saturation = self._wanted_saturation(request)
            return _jpeg(await self._gallery.shown_small(entry, model, saturation))

    async def file(self, request: Request) -> Response:
        entry, _ = self._predicted(request, entry_model=True)
        with _explained():
            path = await self._gallery.finished(entry)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def archive(self, request: Request) -> Response:
        entries = [entry for entry in self._gallery.entries.values() if entry.sizes]
        if not entries:
            raise HTTPException(404, "no picture is coloured yet")
        return StreamingResponse(
            zip_stream(self._finished(entries)),
            media_type="application/zip",
            headers={"content-disposition": 'attachment; filename="coloured.zip"'},
        )

    async def _finished(self, entries: list[Entry]) -> AsyncIterator[tuple[str, Path | str]]:
        failed = ""
        for entry in entries:
            try:
                path = await self._gallery.finished(entry)
            except (ZooError, OSError) as error:
                failed += f"{entry.path}: {error}\n"
            else:
                yield str(entry.target), path
        if failed:
            yield "not written.txt", failed

    async def _shown(self, request: Request, saturation: float | None) -> Response:
        entry, model = self._predicted(request)
        level = int(_number(request, "level", 0, _MOST_LEVEL))
        with _explained():
            return _jpeg(await self._gallery.shown(entry, level, model, saturation))

    def _entry(self, request: Request) -> Entry:
        entry = self._gallery.entries.get(request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "no such picture")
        return entry

    def _predicted(self, request: Request, entry_model: bool = False) -> tuple[Entry, str]:
        """The picture, and the model that is asked for."""
        entry = self._entry(request)
        model = entry.model if entry_model else self._model(request.query_params.get("model"))
        if not entry.sizes or (model not in entry.sizes and not entry_model):
            raise HTTPException(404, "not coloured yet")
        return entry, model

    def _model(self, model: object) -> str:
        if not isinstance(model, str) or model not in self._gallery.options.choices:
            raise HTTPException(400, "`model` should be one of those that the page offers")
        return model

    def _wanted_saturation(self, request: Request) -> float:
        return _number(request, "saturation", 0, MOST_SATURATION)

    def _check_room(self, size: int) -> None:
        if size > MOST_BYTES:
            raise HTTPException(413, _too_large())
        if size > shutil.disk_usage(self._gallery.folder).free - _SPARE:
            raise HTTPException(507, f"no room on the disk of {self._gallery.folder.parent}")

    async def _receive(self, request: Request, path: Path) -> None:
        """Write what is sent into a file, within the limits of size and of time."""
        received = checked = 0
        try:
            with path.open("xb") as file:
                async for piece in _pieces(request):
                    received += len(piece)
                    if received > MOST_BYTES:
                        raise HTTPException(413, _too_large())
                    if received - checked > _SPARE // 10:
                        self._check_room(0)
                        checked = received
                    file.write(piece)
        except OSError as error:
            raise HTTPException(507, f"can't be kept: {error.strerror}") from error


def _too_large() -> str:
    return f"larger than {MOST_BYTES // 10**9} GB, which is more than a picture can have"


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """What is sent, as it comes; whoever keeps us waiting, or goes away, is given up."""
    pieces = aiter(request.stream())
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            async with asyncio.timeout_at(end):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise HTTPException(408, "came too slowly, or no further") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "gone before the end") from error
        end += len(piece) / _SLOWEST
        yield piece


@contextlib.contextmanager
def _explained() -> Any:
    """What can't be done is said to the page."""
    try:
        yield
    except (ZooError, OSError) as error:
        raise HTTPException(422, str(error)) from error


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg")


def _number(request: Request, name: str, low: float, high: float) -> float:
    text = request.query_params.get(name, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high or number == math.inf:
        raise HTTPException(400, f"`{name}` should be a number of {low:g} to {high:g}")
    return number


def _saturation(number: float) -> float:
    if not 0 <= number <= MOST_SATURATION:
        raise HTTPException(400, f"`saturation` should be in 0 to {MOST_SATURATION:g}")
    return number


def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), "connection": "close"}
    return PlainTextResponse(error.detail, error.status_code, headers=headers)


def _say_bug(_: Request, error: Exception) -> Response:
    return PlainTextResponse(describe(error), 500)
