"""The user's store of trained models: the cache of the Hub's client, with what is in it checked.

Only files that can't run code are fetched and used. They are compared with their sha256 (small ones
with the sha1 that Git has for them), which the cache keeps as the name of the file, whenever they
are used.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kh_zoo.errors import HubError, ModelError
from kh_zoo.hub import hub_client, hub_errors, is_offline
from kh_zoo.model_folder import (
    CONFIG,
    MAX_HEADER,
    TENSORS,
    inside,
    open_model_folder,
    read_config,
    read_table,
)

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

CARD = "README.md"
KERAS_WEIGHTS = "model.weights.h5"
KERAS_FILES = (CONFIG, "metadata.json", KERAS_WEIGHTS)
"""What a directory saved by `keras.Model.save` consists of."""
# The weights of no network that colours pictures come near to it.
_MOST_BYTES = 4_000_000_000


@dataclasses.dataclass(frozen=True)
class Stored:
    """A model of the Hub on this disk."""

    repository: str
    commit: str
    path: Path
    license: str | None
    """As its card says; None where that is not on the disk, or does not say it."""
    bytes: int
    fetched: bool = False
    """Whether the network was used for it just now."""


def cache_folder() -> Path:
    """The folder of the Hub's client: `HF_HUB_CACHE`, or `hub` in `HF_HOME`."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def find_stored(repository: str, revision: str | None = None) -> Path | None:
    """Return the folder of a repository in the cache, without any network.

    Args:
        repository: `owner/repo`.
        revision: Branch, tag or commit; None for `main`, as it was when it was last pulled.

    Returns:
        The folder, with all that the engine needs; None if anything of that is missing.

    Raises:
        ModelError: If what is there is no model of this package.
    """
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    commit = revision or "main"
    ref = folder / "refs" / commit
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8").strip()
    snapshot = folder / "snapshots" / commit
    if not (snapshot / CONFIG).is_file():
        return None
    names = needed_files(read_table(snapshot / CONFIG))
    return snapshot if all((snapshot / name).is_file() for name in names) else None


def list_stored() -> list[Stored]:
    """Return the models of this package that are in the cache, by repository."""
    found = []
    for config in sorted(cache_folder().glob(f"models--*--*/snapshots/*/{CONFIG}")):
        repository = config.parent.parent.parent.name.split("--", 1)[1].replace("--", "/")
        try:
            names = needed_files(read_table(config))
        except ModelError:
            continue  # a model of another library
        if all((config.parent / name).is_file() for name in names):
            found.append(_stored(repository, config.parent))
    return found


def needed_files(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the files that an engine needs, for what `read_table` returned."""
    return (CONFIG, TENSORS) if table["architecture"] == "vgg19_gray" else KERAS_FILES


def check_pinned(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare those files that are there with the sha256 that the catalogue has of them.

    Raises:
        ModelError: If one is not what it should be.
    """
    for name, file in files.items():
        path = folder / name
        if path.is_file() and file_digest(inside(path)) != file["sha256"]:
            raise ModelError(
                f"{path}: is damaged: its sha256 is not that of the catalogue; install "
                "the package again, or pull the model again"
            )


def check_stored(snapshot: Path, names: Iterable[str] | None = None) -> None:
    """Compare files of the cache with the hashes that they had on the Hub.

    Args:
        snapshot: A folder of the cache.
        names: Of the files; None for all.

    Raises:
        ModelError: If one is not what it should be.
    """
    for name in sorted(file.name for file in snapshot.iterdir()) if names is None else names:
        # Where links can't be made, the cache has copies, and no hashes.
        if (snapshot / name).is_symlink() and _is_damaged(inside(snapshot / name)):
            raise ModelError(
                f"{snapshot / name}: is damaged: its hash is not the one that it had on the Hub; "
                "pull the model again"
            )


def pull(
    repository: str,
    revision: str | None = None,
    *,
    every_file: bool = False,
    refresh: bool = False,
    files: Mapping[str, Mapping[str, Any]] | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
) -> Stored:
    """Bring a model from the Hub into the cache, unless it is there.

    Args:
        repository: `owner/repo`.
        revision: Branch, tag or commit; None for `main`.
        every_file: Also the files that Keras opens without this package's help.
        refresh: Ask the Hub whether the revision has moved. Where all files are on the disk, no
            network is used otherwise.
        files: The sha256 of each file, where the catalogue pins them.
        on_bytes: Called as bytes arrive, with how many more, and with how many there are in all;
            with None the Hub's client shows bars of its own.

    Raises:
        HubError: The Hub can't be reached, or refuses.
        ModelError: What is there is no model of this package, or not sound.
    """
    if not refresh:
        found = _whole(repository, revision, every_file)
        if found:
            return _stored(repository, found)
    if is_offline():
        raise HubError(_off(repository, revision))
    with hub_errors(repository):
        info = hub_client().model_info(repository, revision=revision, files_metadata=True)
    commit = info.sha or ""
    remote = {sibling.rfilename: sibling for sibling in info.siblings or []}
    _check_names(repository, remote)
    fetch = _Fetch(repository, commit, remote, on_bytes)
    fetch.expect([CONFIG], MAX_HEADER)
    snapshot = fetch([CONFIG])
    table = read_table(snapshot / CONFIG)
    names = [*needed_files(table)]
    most = _MOST_BYTES
    if table["architecture"] == "vgg19_gray":
        # Header and float32 tensors: more can't be what the configuration describes.
        most = read_config(snapshot / CONFIG).most_bytes() + MAX_HEADER
    fetch.expect(names, most)
    if CARD in remote and (remote[CARD].size or 0) <= MAX_HEADER:
        names.append(CARD)
    if every_file:
        names += [name for name in KERAS_FILES if name in remote and name not in names]
        fetch.expect(names, _MOST_BYTES)
    fetch([name for name in names if name != CONFIG])
    check_pinned(snapshot, files or {})
    open_any(snapshot)
    if revision != commit:
        _note_revision(snapshot, revision or "main")
    return dataclasses.replace(_stored(repository, snapshot), fetched=True)


def open_any(folder: Path) -> None:
    """Check a model folder of either architecture, without building anything.

    Raises:
        ModelError: If it is not sound.
    """
    if read_table(folder / CONFIG)["architecture"] == "vgg19_gray":
        open_model_folder(folder)
    else:
        from kh_zoo.keras_folder import check_keras_folder

        check_keras_folder(folder)


def remove(repository: str) -> int:
    """Remove a repository, all of its revisions, from the cache; return how many bytes that freed.

    Raises:
        ModelError: If no model of this package is there under that name.
    """
    from huggingface_hub import scan_cache_dir

    if all(stored.repository != repository for stored in list_stored()):
        names = ", ".join(sorted({stored.repository for stored in list_stored()}))
        raise ModelError(
            f"`name` should be a repository on this disk: {names or 'there is none'}. "
            f"Received: {repository!r}"
        )
    [found] = [
        repo
        for repo in scan_cache_dir(cache_folder()).repos
        if repo.repo_type == "model" and repo.repo_id == repository
    ]
    commits = [revision.commit_hash for revision in found.revisions]
    strategy = scan_cache_dir(cache_folder()).delete_revisions(*commits)
    strategy.execute()
    return strategy.expected_freed_size


def hub_id(repository: str, revision: str | None) -> str:
    """Return `owner/repo`, or `owner/repo@revision`."""
    return f"{repository}@{revision}" if revision else repository


def read_license(path: Path) -> str | None:
    """Return the licence that the metadata of a card says; None if there is none."""
    from kh_zoo.card import card_license

    try:
        return card_license(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # of no text, or a ModelError
        return None


def read_remote(repository: str, revision: str | None) -> tuple[dict[str, Any], str]:
    """Read what the Hub says of a repository that is not on this disk, and its card.

    Returns:
        A dict of its commit, licence and bytes, and the text of the card.

    Raises:
        HubError: The Hub can't be reached, or refuses.
    """
    from huggingface_hub import hf_hub_download

    if is_offline():
        raise HubError(_off(repository, revision))
    with hub_errors(repository):
        info = hub_client().model_info(repository, revision=revision, files_metadata=True)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        card, found = "", None
        if sizes.get(CARD, MAX_HEADER + 1) <= MAX_HEADER:
            path = hf_hub_download(
                repository,
                CARD,
                revision=info.sha,
                cache_dir=cache_folder(),
                tqdm_class=_counter(None, 0),
            )
            card, found = Path(path).read_text(encoding="utf-8"), read_license(Path(path))
    return {
        "revision": info.sha,
        "license": found,
        "files": {name: {"bytes": size} for name, size in sizes.items()},
    }, card


class _Fetch:
    """Fetches files of one commit into the cache, and checks each."""

    def __init__(
        self,
        repository: str,
        commit: str,
        remote: "Mapping[str, RepoSibling]",
        on_bytes: Callable[[int, int], None] | None,
    ) -> None:
        self.repository, self.commit, self.remote = repository, commit, remote
        self.on_bytes = on_bytes
        self.total = 0

    def expect(self, names: list[str], most: int) -> None:
        """Check that the repository has the files, and their sizes, before any is fetched."""
        for name in names:
            if name not in self.remote:
                raise ModelError(_lacks(self.repository, name, self.remote))
            size = self.remote[name].size or 0
            if size > most:
                raise ModelError(
                    f"{self.repository}: `{name}` should have at most {most:,} bytes. Received: "
                    f"{size:,}"
                )
        self.total = sum(self.remote[name].size or 0 for name in {CONFIG, *names})

    def __call__(self, names: list[str]) -> Path:
        from huggingface_hub import hf_hub_download

        for name in names:
            with hub_errors(self.repository):
                path = hf_hub_download(
                    self.repository,
                    name,
                    revision=self.commit,
                    cache_dir=cache_folder(),
                    tqdm_class=_counter(self.on_bytes, self.total) if self.on_bytes else None,
                )
            self.check(Path(path))
        return Path(path).parent

    def check(self, path: Path) -> None:
        """Remove a file that did not arrive as it is on the Hub."""
        blob = path.resolve()
        lfs = self.remote[path.name].lfs
        expected = lfs.sha256 if lfs else self.remote[path.name].blob_id
        if expected and file_digest(blob, git=lfs is None) == expected:
            return
        path.unlink()
        blob.unlink(missing_ok=True)
        raise HubError(
            f"{self.repository}: `{path.name}` did not arrive as it is on the Hub (another hash): "
            "it was removed, and the same command fetches it again"
        )


def _counter(on_bytes: Callable[[int, int], None] | None, total: int) -> type[Any]:
    """A bar of the client's kind that shows nothing, and tells how many bytes came."""
    from tqdm import tqdm

    class Counter(tqdm):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            keywords.pop("name", None)
            super().__init__(*arguments, **{**keywords, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if on_bytes is not None:
                on_bytes(int(n or 0), total)
            return None

    return Counter


def _off(repository: str, revision: str | None) -> str:
    return (
        f"{repository}: is not on this disk, and the network is off (HF_HUB_OFFLINE, --offline); "
        f"where there is one, `kh pull {hub_id(repository, revision)}` fetches it"
    )


def _whole(repository: str, revision: str | None, every_file: bool) -> Path | None:
    """The folder in the cache, if all files are there, and sound."""
    try:
        found = find_stored(repository, revision)
        if found is None or (every_file and not all((found / n).is_file() for n in KERAS_FILES)):
            return None
        check_stored(found)
    except ModelError:
        if is_offline():
            raise
        _forget_damaged(repository)
        return None
    return found


def _forget_damaged(repository: str) -> None:
    """Remove what is damaged from the cache, so that it is fetched anew."""
    for snapshot in (cache_folder() / f"models--{repository.replace('/', '--')}").glob(
        "snapshots/*"
    ):
        for path in snapshot.iterdir():
            blob = path.resolve()
            if path.is_symlink() and _is_damaged(path):
                path.unlink()
                blob.unlink(missing_ok=True)


def _stored(repository: str, path: Path) -> Stored:
    return Stored(
        repository=repository,
        commit=path.name,
        path=path,
        license=read_license(path / CARD),
        bytes=sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
    )


def _note_revision(snapshot: Path, revision: str) -> None:
    """Write what a branch or a tag is. Last, so that it names nothing that is not all there."""
    ref = snapshot.parent.parent / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    temporary = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
    temporary.write_text(snapshot.name, encoding="utf-8")
    temporary.replace(ref)


def _check_names(repository: str, names: Mapping[str, object]) -> None:
    for name in names:
        parts = re.split(r"[/\\]", name)
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise ModelError(
                f"{repository}: has a file whose name leads out of its folder, {name!r}: nothing "
                "of it is fetched"
            )


def _lacks(repository: str, name: str, names: Mapping[str, object]) -> str:
    others = sorted(other for other in names if other.endswith((".bin", ".pkl", ".pt", ".pickle")))
    pickles = f" ({others[0]} is a pickle, which could run code when it is read)" if others else ""
    return (
        f"{repository}: is no model of this package: it has no `{name}`{pickles}. "
        "`kh publish` makes one"
    )


def _is_damaged(path: Path) -> bool:
    expected = path.resolve().name
    return file_digest(path, git=len(expected) == 40) != expected


def file_digest(path: Path, *, git: bool = False) -> str:
    """Return the sha256 of a file; or the sha1 that Git has for it, as the Hub has of small ones.

    Raises:
        ModelError: If it can't be read.
    """
    try:
        with path.open("rb") as file:
            if not git:
                return hashlib.file_digest(file, "sha256").hexdigest()
            # Against damage; who could change one file could change its name too.
            digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
            return hashlib.file_digest(file, lambda: digest).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from None
