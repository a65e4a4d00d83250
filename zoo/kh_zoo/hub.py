"""The Hugging Face Hub: its client, and what its errors mean to a user."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kh_zoo.errors import HubError, VariantError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?:@(?!.*\.\.)\w[\w./-]{0,199})?")


def is_hub_id(name: str) -> bool:
    """Whether `name` reads as `owner/repo` or `owner/repo@revision`, with or without `hf://`."""
    return _ID.fullmatch(name.removeprefix("hf://")) is not None


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


def hub_client() -> "HfApi":
    """Return a client that follows `HF_ENDPOINT`, `HF_TOKEN` and the login of the `hf` command."""
    from importlib.metadata import version

    from huggingface_hub import HfApi

    return HfApi(library_name="keras-hypercolumns", library_version=version("keras-hypercolumns"))


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
    except (httpx2.HTTPError, errors.LocalEntryNotFoundError, errors.XetDownloadError) as error:
        raise HubError(f"{repository}: {_UNREACHED.format(_reason(error))}") from None
    except RuntimeError as error:
        # What went wrong while a large file was sent is its cause.
        if not isinstance(error.__cause__, httpx2.HTTPError):
            raise
        with hub_errors(repository):
            raise error.__cause__ from None
    except OSError as error:
        # How the client says that a file has not all of its bytes; any other is of the disk.
        if "Consistency check failed" not in str(error):
            raise
        raise HubError(f"{repository}: {_UNREACHED.format('a file came in part')}") from None


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
    """The message on one line, without addresses' signatures and without the token."""
    text = re.sub(r"\(Request ID: [^)]*\)", "", str(error))
    text = re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", text)
    return hide_token(" ".join(text.split()) or type(error).__name__)


def hide_token(text: str) -> str:
    """Return `text` without what looks like, or is, a token of the Hub."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        text = text.replace(token, "hf_***")
    return re.sub(r"\bhf_[A-Za-z0-9]{8,}", "hf_***", text)
