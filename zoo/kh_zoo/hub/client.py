"""The Hugging Face Hub: its client, and what its errors mean to a user."""

import contextlib
import os
import re
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import kh_zoo.telemetry  # noqa: F401
from kh_zoo.errors import HubError, VariantError
from kh_zoo.shown import shown

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?:@(?!.*\.\.)\w[\w./-]{0,199})?")

_ADDRESS = re.compile(r"https?:/+[^/]+/([^/]+/[^/]+)")


def is_hub_id(name: str) -> bool:
    """Whether `name` reads as `owner/repo` or `owner/repo@revision`, with or without `hf://`."""
    return _ID.fullmatch(name.removeprefix("hf://")) is not None


def check_no_address(name: str) -> None:
    """Refuse the address of a repository, as browsers show it.

    Raises:
        VariantError: It is one; the message has the name alone.
    """
    if address := _ADDRESS.match(name):
        raise VariantError(
            f"`model` should be {address[1]}, without the address of the Hub. Received: {name!r}"
        )


def split_hub_id(name: str) -> tuple[str, str | None]:
    """Return the repository and the revision, if there is one, of `owner/repo[@revision]`.

    Raises:
        VariantError: If it is no such name.
    """
    if not is_hub_id(name):
        raise VariantError(
            "`repository` should be owner/repo on the Hugging Face Hub, or owner/repo@revision. "
            f"Received: {name!r}"
        )
    repository, _, revision = name.removeprefix("hf://").partition("@")
    return repository, revision or None


def hub_endpoint() -> str:
    """The address of the Hub: `HF_ENDPOINT`, or the one that everybody uses."""
    from huggingface_hub import constants

    return constants.ENDPOINT.rstrip("/")


def hub_headers() -> dict[str, str]:
    """What a request to the Hub says of us, with the token of `HF_TOKEN` or of `hf auth login`.

    Raises:
        HubError: If the token is none that can be sent.
    """
    from importlib.metadata import version

    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = build_hf_headers(
        library_name="keras-hypercolumns", library_version=version("keras-hypercolumns")
    )
    if not re.fullmatch(r"[!-~ ]*", headers.get("authorization", "")):
        raise HubError("the token is not valid: `hf auth login`, or set HF_TOKEN")
    _note_token(headers.get("authorization", ""))
    return headers


def hub_client() -> "HfApi":
    """Return a client that follows `HF_ENDPOINT`, `HF_TOKEN` and the login of the `hf` command.

    What it asks for from then on, in this process, has a time: the client itself would wait for as
    long as it takes.
    """
    from importlib.metadata import version

    from huggingface_hub import HfApi, set_client_factory
    from huggingface_hub.utils import _http

    # One that somebody has chosen is left as it is.
    if getattr(_http, "_GLOBAL_CLIENT_FACTORY", None) is getattr(
        _http, "default_client_factory", ...
    ):
        set_client_factory(_create_session)
    return HfApi(library_name="keras-hypercolumns", library_version=version("keras-hypercolumns"))


SECONDS = 60.0
"""For a step of a request that writes, such as the Hub's answer to a commit."""
MOST_ANSWER = 8_000_000
"""Bytes of an answer to a request that writes."""
_CALL_SECONDS = 300.0
"""For a whole call that writes, beside a second for each `_SLOWEST` bytes."""
_SLOWEST = 10_000
_T = TypeVar("_T")


class _Lines:
    """The connections of the client's session, which can be cut while a thread waits for one."""

    def __init__(self) -> None:
        self.are_cut = False
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()

    def on_event(self, name: str, info: dict[str, Any]) -> None:
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams.add(info["return_value"])

    def cut(self) -> None:
        self.are_cut = True
        for stream in list(self._streams):
            with contextlib.suppress(Exception):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


_LINES = _Lines()


def _create_session() -> "httpx2.Client":
    """The session of the Hub's client, with a time for each step, and a size of each answer."""
    from huggingface_hub.utils._http import default_client_factory

    def on_request(request: "httpx2.Request") -> None:
        if _LINES.are_cut and request.method not in ("GET", "HEAD"):
            raise InterruptedError("interrupted")
        request.extensions.setdefault("trace", _LINES.on_event)
        _note_token(request.headers.get("Authorization", ""))

    def on_response(response: "httpx2.Response") -> None:
        if response.request.method not in ("GET", "HEAD"):
            response.stream = _bounded(response.stream)  # type: ignore[arg-type]
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise HubError("the Hub answers in an encoding that was not asked for")

    def identity(request: "httpx2.Request") -> None:
        if request.method not in ("GET", "HEAD"):
            request.headers["Accept-Encoding"] = "identity"

    client = default_client_factory()
    client.timeout = SECONDS
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks.get("request", []), on_request, identity],
        "response": [*hooks.get("response", []), on_response],
    }
    return client


def _bounded(stream: "httpx2.SyncByteStream") -> "httpx2.SyncByteStream":
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            came = 0
            for chunk in stream:
                came += len(chunk)
                if came > MOST_ANSWER:
                    raise HubError(f"the Hub answers with more than {MOST_ANSWER:,} bytes")
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()


def ask_client(function: Callable[..., _T], *arguments: Any, most: int = 0, **keywords: Any) -> _T:
    """Call a function of the Hub's client that writes; Ctrl-C and a time end it.

    Args:
        function: Such as `HfApi.create_repo`.
        *arguments: Its own.
        most: Bytes that it may send.
        **keywords: Its own.

    Raises:
        HubError: It took too long, or the Hub's answer makes no sense to the client.
    """
    import httpx2
    from huggingface_hub import errors

    _LINES.are_cut = False
    done: list[tuple[Any, BaseException | None]] = []
    ended = threading.Event()

    def run() -> None:
        try:
            done.append((function(*arguments, **keywords), None))
        except BaseException as error:
            done.append((None, error))
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        if not ended.wait(_CALL_SECONDS + most / _SLOWEST):
            raise httpx2.ReadTimeout("no answer")
    except BaseException:
        _LINES.cut()
        raise
    [(found, error)] = done
    match error:
        case None:
            return found  # type: ignore[no-any-return]
        case HubError() | errors.HfHubHTTPError() | errors.HFValidationError() | httpx2.HTTPError():
            raise error
        # What becomes of an answer without what the client takes for granted.
        case LookupError() | TypeError() | AttributeError() | ValueError() | RecursionError():
            raise HubError(
                f"{hub_endpoint()} answers in a way that no Hub does ({type(error).__name__})"
            ) from error
        case _:
            raise error


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


_UNREACHED = (
    "the Hub can't be reached, or the line was cut ({}); the same command goes on from here"
)


@contextlib.contextmanager
def hub_errors(repository: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a `HubError` of one line, without any token."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except HubError as error:
        if str(error).startswith(repository):
            raise
        raise HubError(f"{repository}: {_reason(error)}") from None
    except errors.GatedRepoError:
        raise HubError(
            f"{repository}: is gated: ask for access on its page, then `hf auth login`, or set "
            "HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{repository}: there is no such repository, or it is private: then `hf auth login`, "
            "or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repository}: has no such revision") from None
    except errors.OfflineModeIsEnabled:
        raise HubError(f"{repository}: the network is off (HF_HUB_OFFLINE, --offline)") from None
    except errors.RemoteEntryNotFoundError as error:
        raise HubError(f"{repository}: {_reason(error)}") from None
    except errors.HfHubHTTPError as error:
        raise HubError(f"{repository}: {_by_status(error)}") from None
    except errors.HFValidationError as error:
        raise HubError(f"{repository}: {_reason(error)}") from None
    except httpx2.InvalidURL as error:
        raise HubError(f"{repository}: `HF_ENDPOINT` is no address ({_reason(error)})") from None
    except (httpx2.HTTPError, errors.LocalEntryNotFoundError, errors.XetDownloadError) as error:
        raise HubError(f"{repository}: {_UNREACHED.format(_reason(error))}") from None
    except RuntimeError as error:
        # What went wrong while a large file was sent is its cause.
        if not isinstance(error.__cause__, httpx2.HTTPError):
            raise
        with hub_errors(repository):
            raise error.__cause__ from None


def _by_status(error: "HfHubHTTPError") -> str:
    status = error.response.status_code if error.response is not None else 0
    match status:
        case 401:
            return "the token is not valid: `hf auth login`, or set HF_TOKEN"
        case 403:
            return f"the token may not do this ({_reason(error)})"
        case 409 | 412:
            return (
                "somebody changed it in the meantime: nothing was written; the same command "
                "starts anew from what is there"
            )
        case 429:
            return "too many requests: wait some minutes, then the same command goes on from here"
        case _ if status >= 500:
            return f"the Hub is out of order ({status}): try again later"
        case _:
            return _reason(error)


def _reason(error: Exception) -> str:
    """The message on one line of what can be shown, without signatures and without the token."""
    text = hide_token(str(error))
    text = re.sub(r"\(Request ID: [^)]*\)", "", text)
    text = re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", text)
    text = " ".join(text.split()) or type(error).__name__
    text = shown(text)
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]}..."


_MOST_REASON = 500


def hide_token(text: str) -> str:
    """Return `text` without what is, or looks like, a token of the Hub or a password in a URL."""
    for token in sorted(_tokens(), key=len, reverse=True):
        for form in (token, quote(token, safe=""), repr(token)[1:-1]):
            text = text.replace(form, "hf_***")
    text = re.sub(r"(https?://)[^/@\s]+@", r"\1***@", text)
    return re.sub(r"\bhf_[A-Za-z0-9]{8,}", "hf_***", text)


_SENT: set[str] = set()
"""The tokens that went out, also those that no file and no variable has."""


def _note_token(authorization: str) -> None:
    _SENT.add(authorization.partition(" ")[2])


def _tokens() -> set[str]:
    """The tokens that the Hub's client may send, wherever they come from."""
    from huggingface_hub import constants

    found = {os.environ.get(name, "") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")} | _SENT
    for path in (constants.HF_TOKEN_PATH, constants.HF_STORED_TOKENS_PATH):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
            for line in file.read(65536).splitlines():
                key, equals, value = line.partition(" = ")
                found.add((value if "token" in key else "") if equals else line)
    return {token.strip() for token in found if len(token.strip()) > 2}
