"""Reading from the Hugging Face Hub; nothing that it answers is used before it is checked.

The Hub's own client takes names of files in its cache from what a server says, reads answers of any
size, and waits for as long as it takes. What is read here has a form, a size and a time, and the
reading ends when it is asked to.
"""

import contextlib
import dataclasses
import io
import json
import queue
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from kh_zoo.errors import HubError, ModelError
from kh_zoo.hub.client import hub_endpoint, hub_headers

if TYPE_CHECKING:
    import httpx2

PATIENCE = 60.0
"""Seconds for an answer of the API, and in which at least `LEAST` bytes of a file should come."""
LEAST = 65536
MOST_ANSWER = 8_000_000
"""Bytes of an answer: the names, sizes and hashes of some 30,000 files."""
TRIES = 3
"""How often a request for a file is made without anything coming of it."""
_POLL = 0.1
_REDIRECTS = 5
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_AGAIN = (408, 429, 500, 502, 503, 504)
_T = TypeVar("_T")


def is_commit(text: object) -> bool:
    """Whether it is the name of a commit: 40 hexadecimal digits."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def is_hash(text: object) -> bool:
    """Whether it is a hash of a file: 40 digits of Git's sha1, or 64 of sha256."""
    return isinstance(text, str) and _HASH.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """What the Hub says of a file. A mirror may leave out any of it."""

    size: int | None = None
    sha256: str | None = None
    """Of a large file."""
    oid: str | None = None
    """What Git calls it; of a large file, this is of its pointer."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """What the Hub says of a repository at a revision."""

    commit: str
    private: bool
    files: dict[str, RemoteFile]


class HubReader:
    """Reads from one repository.

    Args:
        repository: `owner/repo`.
        alive: Called several times a second while something is waited for; what it raises ends
            the waiting.
    """

    def __init__(self, repository: str, alive: Callable[[], None] = lambda: None) -> None:
        self.repository = repository
        self.alive = alive
        self._api = f"{hub_endpoint()}/api/models/{repository}"

    def look(self, revision: str | None = None) -> Remote:
        """Return what is there at a branch, tag or commit; None for `main`.

        Raises:
            HubError: What the Hub answers is not what it should be.
            ModelError: There is a file whose name leads out of its folder.
            httpx2.HTTPError, HfHubHTTPError: As `hub_errors` explains them.
        """
        at = "" if revision is None else f"/revision/{quote(revision, safe='')}"
        answer = self._json(f"{self._api}{at}?blobs=true")
        commit = answer.get("sha")
        if not is_commit(commit) or (is_commit(revision) and commit != revision):
            raise self._odd("a commit that is none", commit)
        siblings = answer.get("siblings")
        if not isinstance(siblings, list):
            raise self._odd("a list of files that is none", siblings)
        files = dict(map(self._file, siblings))
        return Remote(str(commit), answer.get("private") is True, files)

    def tags(self) -> dict[str, str]:
        """Return the commit of each tag; raises what `look` does."""
        tags = self._json(f"{self._api}/refs").get("tags")
        found = {}
        for tag in tags if isinstance(tags, list) else [tags]:
            name, commit = (
                (tag.get("name"), tag.get("targetCommit")) if isinstance(tag, dict) else (tag, None)
            )
            if not isinstance(name, str) or not is_commit(commit):
                raise self._odd("a tag that is none", tag)
            found[name] = str(commit)
        return found

    def read(
        self,
        name: str,
        commit: str,
        file: IO[bytes],
        *,
        most: int,
        size: int | None = None,
        known: str = "",
        on_bytes: Callable[[int], None] = lambda more: None,
    ) -> str:
        """Read a file at a commit; where the line breaks, go on from there.

        Args:
            name: Of the file.
            commit: 40 hexadecimal digits.
            file: Where to write it. What is in it already is gone on from, if `known` is given.
            most: Bytes that it may have.
            known: The hash of what is in `file`.
            size: Bytes that it should have, if they are known.
            on_bytes: Called with how many more have come; fewer than none where it begins anew.

        Returns:
            What its hash should be, as the server says: 40 or 64 hexadecimal digits.

        Raises:
            HubError: What is answered is not what it should be.
            httpx2.HTTPError, HfHubHTTPError: As `hub_errors` explains them.
        """
        url = f"{hub_endpoint()}/{self.repository}/resolve/{commit}/{quote(name)}"
        came: queue.SimpleQueue[int] = queue.SimpleQueue()

        def alive() -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    on_bytes(came.get_nowait())
            self.alive()

        def work(line: _Line) -> str:
            return self._read(line, url, name, commit, file, most, size, known, came.put)

        try:
            return _wait(work, alive, LEAST)
        finally:
            with contextlib.suppress(queue.Empty):
                while True:
                    on_bytes(came.get_nowait())

    def _read(
        self,
        line: "_Line",
        url: str,
        name: str,
        commit: str,
        file: IO[bytes],
        most: int,
        size: int | None,
        known: str,
        came: Callable[[int], None],
    ) -> str:
        import httpx2

        position, hash_, tries = file.seek(0, io.SEEK_END), known, TRIES
        # Bytes that go on give new tries, those that were there before don't.
        anew = TRIES + 1
        came(position)
        while True:
            asked = {"Range": f"bytes={position}-"} if position else {}
            try:
                with self._open(line, url, asked, _AGAIN if tries > 1 else ()) as (response, hops):
                    was, hash_ = hash_, self._hash_of(name, commit, hops)
                    goes_on = response.status_code == 206 and response.headers.get(
                        "Content-Range", ""
                    ).startswith(f"bytes {position}-")
                    if position and (not goes_on or was != hash_):
                        anew -= 1
                        if not anew:
                            raise HubError(
                                f"{self.repository}: `{name}` begins anew each time, and does not "
                                "come to its end: try again later"
                            )
                        file.seek(0)
                        file.truncate()
                        came(-position)
                        position = 0
                        if response.status_code in (206, 416):
                            raise httpx2.RemoteProtocolError("not the range that was asked for")
                    for chunk in response.iter_raw():
                        position += len(chunk)
                        if position > (most if size is None else min(most, size)):
                            raise HubError(
                                f"{self.repository}: sends more of `{name}` than it should have: "
                                "it was not kept"
                            )
                        line.came(len(chunk))
                        file.write(chunk)
                        came(len(chunk))
                        tries = TRIES
            except (httpx2.TransportError, _TryAgain):
                tries -= 1
                if not tries:
                    raise
                line.sleep(1)
                continue
            if size is not None and position < size:
                raise httpx2.RemoteProtocolError("a file came in part")
            return hash_

    def _hash_of(self, name: str, commit: str, hops: "list[httpx2.Response]") -> str:
        """The hash that the server says a file has; checked, and the commit too."""
        for hop in hops:
            named = hop.headers.get("X-Repo-Commit")
            if named is not None and named != commit:
                raise self._odd(f"another commit of `{name}`", named)
        # Where a large file lies elsewhere, the Hub itself says its hash. Mirrors may not: then one
        # of sha256 is that of the file, and one of Git's may be of its pointer.
        linked = [hop.headers["X-Linked-Etag"] for hop in hops if "X-Linked-Etag" in hop.headers]
        said = linked[:1] or [hop.headers.get("ETag", "") for hop in reversed(hops)]
        found = [text.removeprefix("W/").strip('"') for text in said]
        sound = sorted(filter(is_hash, found), key=len)
        if not sound:
            raise self._odd(f"a hash (ETag) of `{name}` that is none", said[0])
        return sound[-1]

    def _file(self, sibling: Any) -> tuple[str, RemoteFile]:
        name = sibling.get("rfilename") if isinstance(sibling, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 1000 or not _is_text(name):
            raise self._odd("a name of a file that is none", name)
        parts = re.split(r"[/\\]", name)
        if not parts[0] or ".." in parts or ":" in parts[0]:
            raise ModelError(
                f"{self.repository}: has a file whose name leads out of its folder, {name!r}: "
                "nothing of it is fetched"
            )
        lfs = sibling.get("lfs") or {}
        if not isinstance(lfs, dict):
            raise self._odd(f"what is no description of {name!r}", lfs)
        size = lfs["size"] if lfs.get("size") is not None else sibling.get("size")
        if size is not None and (type(size) is not int or not 0 <= size < 2**50):
            raise self._odd(f"a size of {name!r} that is none", size)
        sha256, oid = lfs.get("sha256"), sibling.get("blobId")
        for hash_, digits in ((sha256, 64), (oid, 40)):
            if hash_ is not None and not (is_hash(hash_) and len(hash_) == digits):
                raise self._odd(f"a hash of {name!r} that is none", hash_)
        return name, RemoteFile(size, sha256, oid)

    def _json(self, url: str) -> dict[str, Any]:
        def work(line: _Line) -> bytes:
            with self._open(line, url, {}) as (response, _):
                return _content(response)

        content = _wait(work, self.alive, None)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._odd("what is no description of a repository", content[:100])
        return answer

    @contextlib.contextmanager
    def _open(
        self, line: "_Line", url: str, headers: Mapping[str, str], again: tuple[int, ...] = ()
    ) -> "Iterator[tuple[httpx2.Response, list[httpx2.Response]]]":
        """Ask for something; what is answered, after redirections, and each hop to it."""
        import httpx2
        from huggingface_hub import constants, get_session

        client = get_session()
        own = hub_headers()
        hops: list[httpx2.Response] = []
        while True:
            request = client.build_request(
                "GET",
                url,
                headers={**own, **headers, "Accept-Encoding": "identity"},
                timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            )
            response = client.send(request, stream=True, follow_redirects=False)
            try:
                line.on(response)
                hops.append(response)
                if response.has_redirect_location:
                    there = request.url.join(response.headers["Location"])
                    if len(hops) > _REDIRECTS or there.scheme not in ("http", "https"):
                        raise self._odd("a redirection that leads nowhere", str(there))
                    if there.netloc != request.url.netloc:
                        own = {k: v for k, v in own.items() if k.lower() != "authorization"}
                    url = str(there)
                    continue
                if response.status_code in again:
                    raise _TryAgain(str(response.status_code))
                if response.status_code not in (200, 206, 416):
                    _refuse(response)
                if "Content-Encoding" in response.headers and not url.startswith(self._api):
                    raise self._odd("an encoding that was not asked for", response.headers)
                yield response, hops
                return
            except httpx2.InvalidURL:
                raise self._odd("a redirection that leads nowhere", None) from None
            finally:
                response.close()

    def _odd(self, what: str, received: object) -> HubError:
        shown = repr(received)
        shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
        return HubError(
            f"{self.repository}: {hub_endpoint()} answers with {what}, so that nothing of it is "
            f"used; is it a Hub? Received: {shown}"
        )


def hub_status(seconds: float) -> int:
    """Return the status of the Hub's answer to a small question, of which no more is read.

    Raises:
        httpx2.HTTPError, HubError: It does not answer in that time, or not as a Hub does.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    until = time.monotonic() + seconds

    def alive() -> None:
        if time.monotonic() > until:
            raise httpx2.ReadTimeout(f"nothing in {seconds:g} s")

    def work(line: _Line) -> int:
        try:
            url = f"{hub_endpoint()}/api/models?limit=1"
            with HubReader("")._open(line, url, {}) as (answer, _):
                return answer.status_code
        except HfHubHTTPError as error:
            return error.response.status_code

    return _wait(work, alive, None)


class _TryAgain(Exception):  # noqa: N818
    """A server that may have it later."""


class _Line:
    """What a thread reads from, as the one that waits for it sees it."""

    def __init__(self) -> None:
        self.bytes = 0
        self._cut = threading.Event()
        self._response: httpx2.Response | None = None

    def on(self, response: "httpx2.Response") -> None:
        self._response = response
        self._check()

    def came(self, more: int) -> None:
        self.bytes += more
        self._check()

    def sleep(self, seconds: float) -> None:
        self._cut.wait(seconds)
        self._check()

    def cut(self) -> None:
        """End the reading: what it blocks in, too, where that is known."""
        self._cut.set()
        stream = self._response and self._response.extensions.get("network_stream")
        if stream:
            with contextlib.suppress(Exception):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._cut.is_set():
            raise InterruptedError("nobody waits for it any more")


def _wait(work: "Callable[[_Line], _T]", alive: Callable[[], None], least: int | None) -> _T:
    """Do `work` in a thread, since nothing else ends a look-up of a name or a slow answer.

    Args:
        work: What is to be done.
        alive: Called while it is waited for.
        least: Bytes that should come in each `PATIENCE`; None if all should be done by then.
    """
    import httpx2

    line = _Line()
    done: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put((work(line), None))
        except BaseException as error:
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    until, had = time.monotonic() + PATIENCE, 0
    try:
        while True:
            try:
                found, error = done.get(timeout=_POLL)
                break
            except queue.Empty:
                alive()
            if time.monotonic() > until:
                if least is None or line.bytes - had < least:
                    raise httpx2.ReadTimeout(f"too slow: nothing whole in {PATIENCE:g} s")
                until, had = time.monotonic() + PATIENCE, line.bytes
    except BaseException:
        line.cut()
        raise
    if error is not None:
        raise error
    return found  # type: ignore[no-any-return]


def _content(response: "httpx2.Response") -> bytes:
    """The body of an answer, unpacked where it is packed, of at most `MOST_ANSWER` bytes."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("identity", "gzip", "deflate"):
        raise HubError(f"the Hub answers in an encoding that was not asked for: {packed[:40]!r}")
    unpack = None if packed == "identity" else zlib.decompressobj(wbits=47)
    content = b""
    try:
        for chunk in response.iter_raw():
            content += chunk if unpack is None else unpack.decompress(chunk, MOST_ANSWER)
            if len(content) > MOST_ANSWER or (unpack and unpack.unconsumed_tail):
                raise HubError(
                    f"the Hub answers with more than {MOST_ANSWER:,} bytes, which no description "
                    "of a model has"
                )
    except zlib.error:
        raise HubError("the Hub answers with what can't be unpacked") from None
    return content


def _refuse(response: "httpx2.Response") -> None:
    """Raise what the Hub's client would, of a copy of the answer without what could harm it."""
    import httpx2
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    kept = {
        name: response.headers[name][:500]
        for name in ("X-Error-Code", "X-Error-Message")
        if name in response.headers
    }
    message = kept.get("X-Error-Message")
    if message is None:
        with contextlib.suppress(HubError, httpx2.TransportError, ValueError, RecursionError):
            answer = json.loads(_content(response))
            message = answer.get("error") if isinstance(answer, dict) else None
    content = json.dumps({"error": message[:500]} if isinstance(message, str) else {})
    copy = httpx2.Response(
        response.status_code,
        headers=httpx2.Headers(kept, encoding="utf-8"),
        content=content.encode(),
        request=response.request,
    )
    hf_raise_for_status(copy)
    raise HubError(f"the Hub answers {response.status_code}, which means nothing here")


def _is_text(name: str) -> bool:
    """Whether a name can be written, and shown as it is."""
    return not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in name)
