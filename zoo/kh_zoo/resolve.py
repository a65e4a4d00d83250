"""From what a user names to the model folder that is meant."""

import os
from pathlib import Path

from kh_zoo.catalog import DEFAULT_VARIANT, find_variant
from kh_zoo.errors import ModelError, VariantError
from kh_zoo.model_folder import CONFIG, ModelFolder, open_model_folder


def resolve(model: str | os.PathLike[str]) -> tuple[ModelFolder, str]:
    """Find a model folder and the variant in it.

    Args:
        model: Name of a variant of the catalogue; or the path of a model folder, or of a run
            folder with `model/` in it. Where a folder holds several variants, `FOLDER/VARIANT`
            picks one; else the default variant is taken.

    Raises:
        VariantError: If there is neither such a variant nor such a folder.
        ModelError: If the folder is no model.
    """
    folder = find_folder(model)
    if folder is not None:
        heads = folder.config.heads
        return folder, DEFAULT_VARIANT if DEFAULT_VARIANT in heads else next(iter(heads))
    path = Path(model)
    parent = find_folder(path.parent) if path.parent != Path() else None
    if parent is not None:
        if path.name not in parent.config.heads:
            raise VariantError(
                f"`variant` of {parent.path} should be one of "
                f"{', '.join(map(repr, parent.config.heads))}. Received: {path.name!r}"
            )
        return parent, path.name
    variant = find_variant(str(model))
    return open_model_folder(variant.folder), variant.name


def find_folder(path: str | os.PathLike[str]) -> ModelFolder | None:
    """Return the model folder at `path`, or in the run folder at `path`; None if it is neither.

    Raises:
        ModelError: If it is a folder, but holds no model; or a model that is not sound.
    """
    path = Path(path)
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return open_model_folder(folder)
    if (path / "state.json").is_file():
        raise ModelError(
            f"{path}: this run has no model yet; `kh train` writes it at its end, or at Ctrl-C"
        )
    return None
