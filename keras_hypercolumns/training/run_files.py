"""The files of a run folder: each is written whole or not at all, and checked when it is read."""

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from keras import ops

STATE = "state.json"
CURVES = "curves.jsonl"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under another name; once it is on the disk, it takes the place of `path`.

    Raises:
        OSError: If it can't be written, as on a full disk: `path` is as it was before. The message
            says what to do.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            f"{path}: can't be written ({error.strerror or error}). Make room, or make the folder "
            "one that may be written to: the same command then goes on from the last checkpoint"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Let the new name outlast a power cut, where the system can sync folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(value, indent=2).encode())


def write_arrays(path: Path, arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Write arrays to a file `.npz`, one at a time; return the sha256 of the file."""
    with whole_file(path) as file:
        # Into Python's own file: the HDF5 library crashes on a full disk, minutes later.
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        file.flush()
        return _digest(Path(file.name))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(run: Path, trainer: keras.Model, row: dict[str, Any], **state: Any) -> None:
    """Write the weights and the optimizer of a step, and the row of the curves that belongs to it.

    The state is written last, and names the checkpoint that counts: whenever the process is killed,
    the run is at one step or at the next, with all that belongs to it.

    Args:
        run: The run folder.
        trainer: The model, compiled.
        row: With the number of steps done, `"step"`.
        state: What else is to be known when the run goes on.
    """
    name = f"checkpoint-{row['step']:06d}.npz"
    digest = write_arrays(run / name, _arrays(trainer))
    rows = [*read_curves(run, row["step"] - 1), row]
    with whole_file(run / CURVES) as file:
        file.writelines(f"{json.dumps(one)}\n".encode() for one in rows)
    state = {"step": row["step"], "checkpoint": name, "sha256": digest, **state}
    write_json(run / STATE, state)
    for old in run.glob("checkpoint-*"):
        if old.name != name:
            old.unlink()


def read_state(run: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` kept of the last step; None where there was none.

    Raises:
        ValueError: If it can't be understood.
    """
    path = run / STATE
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(state["step"], int) and Path(state["checkpoint"]).parent == Path()):
            raise ValueError("no step or checkpoint")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(damaged(path, f"it can't be understood ({error})")) from None
    return dict(state)


def load_checkpoint(run: Path, trainer: keras.Model, state: dict[str, Any]) -> None:
    """Put a compiled trainer into the state that a run folder holds.

    Raises:
        ValueError: If the checkpoint is missing, is not the file that was written, or belongs to
            another network.
    """
    path = run / state["checkpoint"]
    if not path.is_file():
        raise ValueError(damaged(path, "it is missing"))
    if path.name.endswith(".weights.h5"):  # of an older release
        trainer.load_weights(path)
        return
    if _digest(path) != state.get("sha256"):
        raise ValueError(damaged(path, "it is not the file that was written"))
    variables = dict(_variables(trainer))
    with np.load(path, allow_pickle=False) as found:
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if set(found.files) != set(shapes):
            raise ValueError(damaged(path, "it is of another network"))
        for name, variable in variables.items():
            array = found[name]
            if array.shape != shapes[name]:
                raise ValueError(damaged(path, f"{name!r} is of another network"))
            variable.assign(array)


def read_curves(run: Path, last_step: int) -> list[dict[str, Any]]:
    """Return the rows of the curves up to a step, without what a killed process left behind."""
    path = run / CURVES
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and row.get("step", last_step + 1) <= last_step:
                rows.append(row)
    return rows


def damaged(path: Path, problem: str) -> str:
    """The message of a run folder one of whose files can't be gone on with."""
    return (
        f"`run` should be a new folder, or one whose files are as they were written; {problem}. "
        f"Bring {path.name} back from a copy, or begin anew in another folder. Received: {path}"
    )


def _variables(trainer: keras.Model) -> Iterator[tuple[str, Any]]:
    """Weights and optimizer, each with a name that the same recipe gives it in any process."""
    for kind, variables in (
        ("weights", trainer.weights),
        ("optimizer", trainer.optimizer.variables),
    ):
        for number, variable in enumerate(variables):
            yield f"{kind}/{number:04d}-{variable.name}", variable


def _arrays(trainer: keras.Model) -> Iterator[tuple[str, np.ndarray]]:
    for name, variable in _variables(trainer):
        yield name, ops.convert_to_numpy(variable)
