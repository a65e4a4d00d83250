"""The hooks of a plugin: functions with these names and `@hookimpl`; any may be left out.

They are called to register, not to work: import what is heavy in the things that are registered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pluggy

if TYPE_CHECKING:
    import numpy as np
    import pyvips
    import typer

    from kh_zoo.catalog.records import Variant
    from kh_zoo.engines import Engine
    from kh_zoo.networks.model_folder import ModelFolder
    from kh_zoo.runners import Runner
    from kh_zoo.workers.settings import Settings

PROJECT = "keras_hypercolumns"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

EngineFactory: TypeAlias = "Callable[[ModelFolder, str, str], Engine]"
"""Loads a variant, the second argument, of a model folder, for a device, the third: `"auto"`,
`"cpu"`, `"gpu"` or `"gpu:1"`. Imports what is heavy only then."""
RunnerFactory: TypeAlias = "Callable[[Settings, int | None, float], Runner]"
"""Makes what colours many pictures, from how, how many at a time (None: what suits), and the
seconds that one may take. Imports what is heavy only then."""
Reader: TypeAlias = "Callable[[Path], pyvips.Image | np.ndarray]"
"""Reads a picture file: a NumPy array of uint8 or uint16, `(height, width)` or `(height, width,
channels)` with grey, grey and alpha, RGB or RGBA; or a libvips image that can be read twice."""


@hookspec
def register_commands(app: "typer.Typer") -> None:
    """Add commands to `kh`: with `@app.command()`, or `app.add_typer(group, name=...)`."""


@hookspec
def register_variants(register: "Callable[[Variant], None]") -> None:
    """Add trained variants to the catalogue: `register(Variant(...))`."""


@hookspec
def register_engines(register: "Callable[[str, EngineFactory], None]") -> None:
    """Add engines: `register("name", factory)`; factory is `(folder, head, device) -> Engine`."""


@hookspec
def register_readers(register: "Callable[[str, Reader], None]") -> None:
    """Add kinds of pictures: `register(".suffix", reader)`, with a reader `(path) -> picture`."""


@hookspec
def register_runners(register: "Callable[[str, RunnerFactory], None]") -> None:
    """Add places to run at: `register("name", factory)`; see `kh_zoo.runners.Runner`."""
