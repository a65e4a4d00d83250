"""From what a user names to the model folder that is meant."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kh_zoo.catalog.records import DEFAULT_VARIANT, Variant, find_variant, list_variants
from kh_zoo.errors import HubError, ModelError, VariantError
from kh_zoo.hub.client import check_no_address, is_hub_id, split_hub_id
from kh_zoo.hub.store import check_pinned, check_stored, find_stored, needed_files, pull
from kh_zoo.nearest import nearest
from kh_zoo.networks.model_folder import CONFIG, ModelFolder, open_model_folder, read_table

MODEL = "model"
"""The model folder in a run folder."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model is."""

    where: Literal["path", "cached", "bundled", "remote"]
    """A path that was given; the cache; the package; or the Hub, and not on this disk."""
    folder: Path | None
    """None if it is remote."""
    variant: str | None = None
    """The one that is meant, where the folder may hold several."""
    repository: str | None = None
    """On the Hub."""
    revision: str | None = None
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """The sha256 of each file, where the catalogue has them."""


def find(model: str | os.PathLike[str]) -> Source:
    """Find where a model is, without any network.

    Args:
        model: Name of a variant of the catalogue; `owner/repo[@revision]` on the Hugging Face Hub;
            or the path of a model folder, or of a run folder with `model/` in it. Where a folder
            holds several variants, `FOLDER/VARIANT` picks one.

    Returns:
        A path that is there comes first; then, for a variant and a repository, the cache of the
        Hub's client, the package, and the Hub.

    Raises:
        VariantError: If there is neither such a variant nor such a folder.
        ModelError: If it is no model.
    """
    path = Path(model)
    check_no_address(str(model))
    folder = find_path(path)
    if folder is not None:
        return Source("path", folder)
    parent = find_path(path.parent) if path.parent != Path() else None
    if parent is not None:
        return Source("path", parent, path.name)
    if is_hub_id(str(model)):
        repository, revision = split_hub_id(str(model))
        stored = find_stored(repository, revision)
        # Of a path that is mistyped, the Hub would only say that it knows nothing.
        if stored is None and str(model) == repository and path.parent.is_dir():
            raise _no_folder(path)
        return Source("cached" if stored else "remote", stored, None, repository, revision)
    if len(path.parts) > 1:
        raise _no_folder(path)
    return find_source(find_variant(str(model)))


def _no_folder(path: Path) -> VariantError:
    """What is said of a path where no model is."""
    if path.exists():
        what = f"{path} has no `{CONFIG}`, and no `{MODEL}/{CONFIG}`"
    elif not path.parent.is_dir():
        what = f"there is no folder {path.parent}"
    else:
        there = (one.name for one in path.parent.iterdir() if one.is_dir())
        what = f"there is no folder {path}.{nearest(path.name, list(there))}".removesuffix(".")
    other = f" (hf://{path} is the repository on the Hub)" if is_hub_id(str(path)) else ""
    return VariantError(
        f"`model` should be the path of a model or run folder, owner/repo on the Hub, or a name "
        f"from the catalogue: {what}{other}. Received: {str(path)!r}"
    )


def nowhere(source: Source, error: HubError) -> HubError:
    """What is said of a model that the Hub does not give: it may have been meant as a path."""
    if source.variant is not None:
        return error
    reason = str(error).removeprefix(f"{source.repository}: ")
    return HubError(
        f"{source.repository}: there is no folder of that name here, and on the Hub: {reason}"
    )


def find_source(variant: Variant) -> Source:
    """Find where a variant of the catalogue is: in the cache, in the package, or on the Hub."""
    where = (variant.name, variant.repository, variant.revision)
    if variant.repository:
        stored = find_stored(variant.repository, variant.revision)
        if stored:
            return Source("cached", stored, *where, files=variant.hub_files)
    if variant.folder is not None and (variant.folder / CONFIG).is_file():
        return Source("bundled", variant.folder, *where, files=variant.files)
    if variant.repository:
        return Source("remote", None, *where, files=variant.hub_files)
    at = f" at {variant.folder}" if variant.folder else ""
    raise VariantError(
        f"`variant` {variant.name!r} has no weights{at}, and no repository on the Hub is known"
    )


def pull_source(source: Source) -> Source:
    """Pull a model that is remote; check the hashes of any other, where they are known.

    Raises:
        HubError: The Hub can't be reached, or refuses, or `HF_HUB_OFFLINE` is set.
        ModelError: What is there is not sound.
    """
    if source.folder is None:
        try:
            stored = pull(str(source.repository), source.revision, files=source.files)
        except HubError as error:
            raise nowhere(source, error) from None
        return dataclasses.replace(source, where="cached", folder=stored.path)
    if source.where == "cached":
        check_stored(source.folder, needed_files(read_table(source.folder / CONFIG)))
    check_pinned(source.folder, source.files)
    return source


def open_model(model: str | os.PathLike[str]) -> tuple[ModelFolder, str]:
    """Find a model folder and the variant in it; what is only on the Hub is pulled.

    Args:
        model: As for `find`. Where a folder holds several variants and none is named, the default
            variant is taken.

    Raises:
        VariantError: If there is neither such a variant nor such a folder.
        ModelError: If it is no model, or a Keras model without a trunk and heads.
        HubError: If it is to be pulled, and the Hub can't be reached, or refuses.
    """
    return open_source(pull_source(find(model)))


def open_source(source: Source, table: dict[str, Any] | None = None) -> tuple[ModelFolder, str]:
    """Open a model that is on the disk, and choose the variant in it.

    Args:
        source: Of `find` or `pull_source`.
        table: What `read_table` gave for its configuration, where it was asked before.
    """
    folder = open_model_folder(Path(source.folder or ""), table)
    heads = folder.config.heads
    if source.variant in heads:
        return folder, str(source.variant)
    if source.where == "path" and source.variant is not None:
        raise VariantError(
            f"`variant` of {folder.path} should be one of {', '.join(map(repr, heads))}. "
            f"Received: {source.variant!r}"
        )
    return folder, DEFAULT_VARIANT if DEFAULT_VARIANT in heads else next(iter(heads))


def vivid_head(folder: ModelFolder, head: str) -> str:
    """Return the name of the vivid head of a variant.

    Raises:
        ModelError: If it has none; the message names what has one.
    """
    found = folder.config.vivid_head(head)
    if found is None:
        has = [name for name in folder.config.variants if folder.config.vivid_head(name)]
        raise no_vivid_head(f"{head!r} of {folder.path}", has)
    return found


def no_vivid_head(model: object, has: Sequence[str] = ()) -> ModelError:
    """What is said of a model without a vivid head; `has` are those beside it that have one."""
    known = has or [variant.name for variant in list_variants() if variant.vivid]
    which = f", as {', '.join(map(repr, known))} {'have' if len(known) > 1 else 'has'}"
    return ModelError(
        f"`vivid` should be asked of a model with a vivid head{which if known else ''}; "
        f"`kh train` makes one, with `vivid` in its recipe. Received: {model}, which has none"
    )


def find_folder(path: str | os.PathLike[str]) -> ModelFolder | None:
    """Return the model folder at `path`, or in the run folder at `path`; None if it is neither.

    Raises:
        ModelError: If it is a run that has no model yet, or holds one that is not sound.
    """
    folder = find_path(path)
    return None if folder is None else open_model_folder(folder)


def find_path(path: str | os.PathLike[str]) -> Path | None:
    """Return the path of the model folder at `path`, or in the run folder; None if it is neither.

    Raises:
        ModelError: If it is a run that has no model yet.
    """
    path = Path(path)
    for folder in (path, path / MODEL):
        if (folder / CONFIG).is_file():
            return folder
    if (path / "state.json").is_file():
        raise ModelError(
            f"{path}: this run has no model yet; `kh train` writes it at its end, or at Ctrl-C"
        )
    return None
