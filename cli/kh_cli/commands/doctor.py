"""`kh doctor`: what is installed, what is set, what would be used and why."""

import os
import sys
from typing import Any

import typer

from kh_cli.options.hub_options import CacheDir, Offline, set_hub
from kh_cli.options.output_options import Json
from kh_cli.output.errors import FAILED, explain
from kh_cli.output.stdout import write_record, write_text
from kh_zoo.shown import counted

_PACKAGES = (
    "keras-hypercolumns",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "onnxruntime",
    "pyvips",
    "huggingface_hub",
    "hf-xet",
)
_SETTINGS = (
    "KERAS_BACKEND",
    "KH_MAX_MEMORY",
    "KH_PLUGINS",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_XET",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
_SECONDS = 5


def doctor(
    offline: Offline = False,
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """Say what is installed and set, whether the Hub answers, and what `kh colorize` would use.

    Exit code: 0 if `kh colorize` can run, else 1.
    """
    set_hub(offline, cache_dir)
    from kh_zoo.catalog.find import find
    from kh_zoo.catalog.records import DEFAULT_VARIANT
    from kh_zoo.colorizer import Colorizer
    from kh_zoo.engines import DEFAULT_ENGINE
    from kh_zoo.hub.store import cache_folder, list_stored

    found: dict[str, Any] = {"python": sys.version.split()[0]}
    found |= {name: _version(name) for name in _PACKAGES}
    found |= {
        name: _hide(os.environ.get(name) or os.environ.get(name.lower())) for name in _SETTINGS
    }
    found["keras_backend"] = _backend()
    found["cache"] = str(cache_folder())
    stored = list_stored()
    models, megabytes = counted(len(stored), "model"), sum(one.bytes for one in stored) / 1e6
    found["pulled"] = f"{models}, {megabytes:.1f} MB"
    found |= _hub()
    problem = None
    try:
        source = find(DEFAULT_VARIANT)
        found["default_model"] = f"{DEFAULT_VARIANT}, {_REASONS[source.where]}: {source.folder}"
        Colorizer(DEFAULT_VARIANT)
        found["engine"] = f"{DEFAULT_ENGINE}, loads"
    except Exception as error:
        problem = explain(error)[0]
        found["problem"] = problem
    if json:
        write_record({key.replace("-", "_"): value for key, value in found.items()})
    else:
        width = max(map(len, found)) + 2
        for key, value in found.items():
            write_text(f"{_told(key):{width}}{'-' if value is None else value}")
    if problem:
        raise typer.Exit(FAILED)


def _told(key: str) -> str:
    return key if key.isupper() or key in _PACKAGES else key.replace("_", " ")


_REASONS = {
    "path": "from a path",
    "cached": "pulled from the Hub, which comes before the bundled one",
    "bundled": "ships with the package, and none was pulled",
    "remote": "not on this disk: the first use pulls it",
}


def _hide(value: str | None) -> str | None:
    """Return a setting without the password that an address may have in it."""
    if value and "@" in value:
        return "***@" + value.rpartition("@")[2]
    return value


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _backend() -> str:
    """The backend that Keras would use, without importing it."""
    import json
    from pathlib import Path

    if os.environ.get("KERAS_BACKEND"):
        return f"{os.environ['KERAS_BACKEND']} (KERAS_BACKEND)"
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return f"{json.loads(path.read_text(encoding='utf-8'))['backend']} ({path})"
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow (Keras's default)"


def _hub() -> dict[str, Any]:
    """Whether the Hub answers, and whom it takes us for."""
    from huggingface_hub import constants, get_token

    from kh_zoo.hub.client import hide_token, is_offline
    from kh_zoo.hub.reader import hub_status

    found: dict[str, Any] = {"hub": constants.ENDPOINT}
    found["token"] = "set" if get_token() else None
    if is_offline():
        found["hub_answers"] = "not asked: the network is off"
        return found
    try:
        found["hub_answers"] = f"yes, {hub_status(_SECONDS)}"
    except Exception as error:
        found["hub_answers"] = hide_token(f"no: {type(error).__name__}: {error}")
    return found
