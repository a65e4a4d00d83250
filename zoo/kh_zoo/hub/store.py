"""The user's store of trained models: the cache of the Hub's client, with what is in it checked.

Only files that can't run code are fetched and used. They are compared with their sha256 (small ones
with the sha1 that Git has for them), which the cache keeps as the name of the file, whenever they
are used.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from kh_zoo.errors import HubError, ModelError
from kh_zoo.files.plain_files import NO_LINK, NO_WAIT, open_plain, read_plain
from kh_zoo.files.whole_files import make_folder, sync_folder
from kh_zoo.hub.client import hub_errors, is_hub_id, is_offline
from kh_zoo.hub.reader import HubReader, Remote, RemoteFile, is_commit, is_hash
from kh_zoo.networks.model_folder import (
    CONFIG,
    KERAS,
    KERAS_FILES,
    MAX_HEADER,
    TENSORS,
    open_model_folder,
    read_config,
    read_table,
)

CARD = "README.md"
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
    problem: str | None = None
    """What of it can't be read, which is then not told here."""


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
    folder = _repository_folder(repository, revision)
    commit = revision or "main"
    with contextlib.suppress(ValueError):  # of other text, or a ModelError
        commit = read_plain(folder / "refs" / commit, 100).decode("ascii").strip()
    if not is_commit(commit):
        return None
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
    return (CONFIG, TENSORS) if table["architecture"] != KERAS else KERAS_FILES


def check_pinned(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare those files that are there with the sha256 that the catalogue has of them.

    Raises:
        ModelError: If one is not what it should be.
    """
    for name, file in files.items():
        path = folder / name
        if path.is_file() and file_digest(path) != file["sha256"]:
            raise ModelError(
                f"{path}: is damaged: its sha256 is not that of the catalogue; install "
                "the package again, or pull the model again"
            )


def check_stored(snapshot: Path, names: Iterable[str] | None = None) -> list[str]:
    """Compare files of the cache with the hashes that they had on the Hub.

    Args:
        snapshot: A folder of the cache.
        names: Of the files; None for all.

    Returns:
        Names of the files that can't be compared: where links can't be made, the cache has copies,
        and no hashes.

    Raises:
        ModelError: If one is not what it should be.
    """
    copies = []
    for name in sorted(file.name for file in snapshot.iterdir()) if names is None else names:
        if not (snapshot / name).is_symlink():
            copies.append(name)
        elif _is_damaged(snapshot / name):
            raise ModelError(
                f"{snapshot / name}: is damaged: its hash is not the one that it had on the Hub; "
                "pull the model again"
            )
    return copies


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
        on_bytes: Called several times a second, with how many more bytes have come (fewer than none
            where a file begins anew), and with how many there are in all. What it raises ends the
            pulling. With None a bar of the Hub's client is shown.

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
    with _bar(repository) if on_bytes is None else contextlib.nullcontext(on_bytes) as shown:
        stored = _pull(repository, revision, every_file, files or {}, shown)
    return dataclasses.replace(stored, fetched=True)


def _pull(
    repository: str,
    revision: str | None,
    every_file: bool,
    files: Mapping[str, Mapping[str, Any]],
    on_bytes: Callable[[int, int], None],
) -> Stored:
    fetch = _Fetch(repository, revision, on_bytes)
    commit, remote = fetch.remote.commit, fetch.remote.files
    fetch.expect([CONFIG], MAX_HEADER)
    snapshot = fetch([CONFIG])
    table = read_table(snapshot / CONFIG)
    names = [*needed_files(table)]
    most = _MOST_BYTES
    if table["architecture"] != KERAS:
        # Header and float32 tensors: more can't be what the configuration describes.
        most = read_config(snapshot / CONFIG).most_bytes() + MAX_HEADER
    fetch.expect(names, most)
    if CARD in remote and (remote[CARD].size or 0) <= MAX_HEADER:
        names.append(CARD)
        fetch.expect([CARD], MAX_HEADER)
    if every_file:
        more = [name for name in KERAS_FILES if name in remote and name not in names]
        names += more
        fetch.expect(more, _MOST_BYTES)
    fetch([name for name in names if name != CONFIG])
    check_pinned(snapshot, files)
    open_any(snapshot)
    if revision != commit:
        _note_revision(snapshot, revision or "main")
    return _stored(repository, snapshot)


@contextlib.contextmanager
def _bar(repository: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of the Hub's client, which `HF_HUB_DISABLE_PROGRESS_BARS` turns off."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    with tqdm(desc=repository, unit="B", unit_scale=True) as bar:  # type: ignore[no-untyped-call]

        def on_bytes(more: int, total: int) -> None:
            bar.total = total
            bar.update(more)

        yield on_bytes


def open_any(folder: Path) -> None:
    """Check a model folder of either architecture, without building anything.

    Raises:
        ModelError: If it is not sound.
    """
    if read_table(folder / CONFIG)["architecture"] != KERAS:
        open_model_folder(folder)
    else:
        from kh_zoo.networks.keras_folder import check_keras_folder

        check_keras_folder(folder)


def remove(repository: str) -> int:
    """Remove a repository, all of its revisions, from the cache; return how many bytes that freed.

    Raises:
        ModelError: If no model of this package is there under that name.
    """
    if all(stored.repository != repository for stored in list_stored()):
        names = ", ".join(sorted({stored.repository for stored in list_stored()}))
        raise ModelError(
            f"`repository` should be a repository on this disk: {names or 'there is none'}. "
            f"Received: {repository!r}"
        )
    folder = _repository_folder(repository)
    freed = 0
    if folder.is_symlink():  # to another disk; what is there is not ours
        folder.unlink()
    else:
        for path in folder.rglob("*"):
            entry = path.lstat()
            freed += entry.st_size if stat.S_ISREG(entry.st_mode) else 0
        shutil.rmtree(folder)  # which follows no links
    locks = cache_folder() / ".locks" / folder.name
    if not locks.is_symlink():
        shutil.rmtree(locks, ignore_errors=True)
    return freed


def hub_id(repository: str, revision: str | None) -> str:
    """Return `owner/repo`, or `owner/repo@revision`."""
    return f"{repository}@{revision}" if revision else repository


def read_card(path: Path) -> str:
    """Read the text of a card, in whatever encoding; empty if there is none.

    Raises:
        ModelError: If it is no plain file of its folder, or too large.
    """
    if not os.path.lexists(path):
        return ""
    return read_plain(path, MAX_HEADER).decode("utf-8", errors="replace")


def read_license(path: Path) -> str | None:
    """Return the licence that the metadata of a card says; None if there is none."""
    from kh_zoo.hub.card import card_license

    try:
        return card_license(read_card(path))
    except ModelError:
        return None


def read_remote(repository: str, revision: str | None) -> tuple[dict[str, Any], str]:
    """Read what the Hub says of a repository that is not on this disk, and its card.

    Returns:
        A dict of its commit, licence and bytes, and the text of the card.

    Raises:
        HubError: The Hub can't be reached, or refuses.
    """
    from kh_zoo.hub.card import card_license

    if is_offline():
        raise HubError(_off(repository, revision))
    reader = HubReader(repository)
    with hub_errors(repository):
        remote = reader.look(revision)
        card = ""
        if CARD in remote.files and (remote.files[CARD].size or 0) <= MAX_HEADER:
            content = io.BytesIO()
            reader.read(CARD, remote.commit, content, most=MAX_HEADER)
            card = content.getvalue().decode("utf-8", errors="replace")
    found = None
    with contextlib.suppress(ValueError):  # a ModelError, too
        found = card_license(card)
    return {
        "revision": remote.commit,
        "license": found,
        "files": {name: {"bytes": file.size or 0} for name, file in remote.files.items()},
    }, card


class _Fetch:
    """Fetches files of one commit into the cache, and checks each before it has its name there."""

    def __init__(
        self, repository: str, revision: str | None, on_bytes: Callable[[int, int], None]
    ) -> None:
        self.on_bytes = on_bytes
        self.total = 0
        self.reader = HubReader(repository, lambda: self._came(0))
        self.repository = repository
        with hub_errors(repository):
            self.remote: Remote = self.reader.look(revision)
        self._most: dict[str, int] = {}

    def expect(self, names: list[str], most: int) -> None:
        """Check that the repository has the files, and their sizes, before any is fetched."""
        for name in names:
            if name not in self.remote.files:
                raise ModelError(_lacks(self.repository, name, self.remote.files))
            size = self.remote.files[name].size or 0
            if size > most:
                raise ModelError(
                    f"{self.repository}: `{name}` should have at most {most:,} bytes. Received: "
                    f"{size:,}"
                )
            self._most[name] = min(most, self._most.get(name, most))
        self.total = sum(self.remote.files[name].size or 0 for name in self._most)

    def __call__(self, names: list[str]) -> Path:
        folder = _repository_folder(self.repository)
        blobs = _own_folder(folder / "blobs")
        snapshot = _own_folder(folder / "snapshots" / self.remote.commit)
        hashes = {file.sha256 or file.oid or "" for file in self.remote.files.values()}
        wanted = [hash_ for hash_ in hashes if not (blobs / hash_).exists()]
        _remove_unfinished(blobs, {_unfinished(hash_) for hash_ in wanted})
        for name in names:
            if not _is_whole(snapshot / name):
                _link(snapshot / name, self._blob(name, blobs))
        sync_folder(snapshot)
        return snapshot

    def _blob(self, name: str, blobs: Path) -> Path:
        """Return the file in `blobs` with the content of `name`, which is fetched if need be."""
        file = self.remote.files[name]
        known = file.sha256 or file.oid
        if known and _is_sound(blobs / known):  # of another commit
            self._came(file.size or 0)
            return blobs / known
        import httpx2

        goes_on = False
        begun = _go_on(blobs / _unfinished(known)) if known else None
        unfinished = blobs / _unfinished(known if known and begun else uuid.uuid4().hex)
        try:
            with begun or _create(unfinished) as out, hub_errors(self.repository):
                try:
                    hash_ = self.reader.read(
                        name,
                        self.remote.commit,
                        out,
                        most=self._most[name],
                        size=file.size,
                        known=known or "",
                        on_bytes=self._came,
                    )
                except (KeyboardInterrupt, InterruptedError, httpx2.TransportError):
                    goes_on = begun is not None and out.tell() > 0
                    raise
                out.flush()
                self._check(name, hash_, file, unfinished)
                os.fsync(out.fileno())
                if os.name != "nt":  # where an open file can't be renamed
                    # Before the lock goes, lest it is taken for what a killed process has left.
                    unfinished.replace(blobs / hash_)
            if os.name == "nt":
                unfinished.replace(blobs / hash_)
        finally:
            if not goes_on:
                unfinished.unlink(missing_ok=True)
        sync_folder(blobs)
        return blobs / hash_

    def _check(self, name: str, hash_: str, file: RemoteFile, path: Path) -> None:
        # A mirror may not say that a file is a large one: then what Git calls it is of its pointer.
        for expected in {hash_, file.sha256 or hash_}:
            if file_digest(path, git=len(expected) == 40) != expected:
                raise HubError(
                    f"{self.repository}: `{name}` did not arrive as it is on the Hub (another "
                    "hash): it was removed, and the same command fetches it again"
                )

    def _came(self, more: int) -> None:
        self.on_bytes(more, self.total)


def _unfinished(name: str) -> str:
    """Name in `blobs` of what is being fetched: after its hash, where that is known beforehand."""
    return f"kh-{name}.incomplete"


def _go_on(path: Path) -> IO[bytes] | None:
    """Open what was fetched of a file until something interrupted it, or begin with it.

    None where another process is at it, or it can't be known whether one is.
    """
    if os.name == "nt":
        return None
    flags = os.O_RDWR | os.O_CREAT | NO_LINK | NO_WAIT
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(os.fdopen(os.open(path, flags, 0o666), "r+b"))
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not _lock(file):
                return None
            # Who was at it may have finished just now: then it is a blob, and nothing to write to.
            if not os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return None
        except OSError:
            return None
        stack.pop_all()
    return file


@contextlib.contextmanager
def _create(path: Path) -> Iterator[IO[bytes]]:
    """Create a file that is there for nobody else, and that is known as being written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | NO_WAIT
    with os.fdopen(os.open(path, flags, 0o666), "w+b") as file:
        _lock(file)
        yield file


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, by a kill too; whether nobody else has."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_unfinished(blobs: Path, wanted: Collection[str]) -> None:
    """Remove what is left of files that nobody fetches any more, but what is wanted."""
    for path in blobs.glob(_unfinished("*")):
        if path.name in wanted:
            continue
        with contextlib.suppress(OSError, ModelError), open_plain(path) as file:
            if _lock(file):
                path.unlink()


def _repository_folder(repository: str, revision: str | None = None) -> Path:
    """The folder of a repository in the cache.

    Raises:
        ModelError: If it would not be one.
    """
    name = repository if revision is None else f"{repository}@{revision}"
    if not is_hub_id(name) or name.startswith("hf://"):
        raise ModelError(
            "`repository` and `revision` should be owner/repo on the Hugging Face Hub, and a "
            f"branch, tag or commit. Received: {name!r}"
        )
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def _own_folder(path: Path) -> Path:
    """Make a folder of the cache.

    Raises:
        ModelError: If a link leads from there to elsewhere, where nothing of ours belongs.
    """
    if not _is_ours(path):
        raise ModelError(
            f"{path}: should be a folder of the cache, where files can be fetched to, not a link "
            f"that leads out of it; remove the link. Received: one to {path.resolve()}"
        )
    make_folder(path)
    return path


def _is_ours(path: Path) -> bool:
    """Whether a folder is in the cache, or would be, also where links lead."""
    return path.resolve().is_relative_to(cache_folder().resolve())


def _link(path: Path, blob: Path) -> None:
    """Make `path` a link to a blob beside its folder, in place of what it was."""
    if _blob_name(path) == blob.name:
        return  # another process was quicker
    # In its place at once: another process may be reading it.
    temporary = path.parent.parent / f".{path.parent.name}-{path.name}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("..", "..", "blobs", blob.name))
        temporary.replace(path)
    except NotImplementedError:
        blob.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if os.name != "nt" and error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        blob.replace(path)  # where there are no links, the file itself is there


def _blob_name(path: Path) -> str | None:
    """The name in `blobs` that a file of a snapshot is a link to; None if it is none to there."""
    try:
        folder, name = os.path.split(os.readlink(path))
    except OSError:
        return None
    if folder != os.path.join("..", "..", "blobs"):
        # As it stands, or the absolute path that other programs make of it.
        blobs = os.path.normpath(os.path.join(os.path.abspath(path.parent), "..", "..", "blobs"))
        if os.path.normpath(folder) != blobs:
            return None
    return name if is_hash(name) else None


def _is_sound(blob: Path) -> bool:
    """Whether a file of `blobs` is there, is no link, and has the hash that is its name."""
    try:
        return stat.S_ISREG(blob.lstat().st_mode) and (
            file_digest(blob, git=len(blob.name) == 40) == blob.name
        )
    except (OSError, ModelError):
        return False


def _is_whole(path: Path) -> bool:
    """Whether a file of a snapshot leads to a sound blob, or is one where there are no links."""
    name = _blob_name(path)
    if name is None:
        return not path.is_symlink() and path.is_file()
    return _is_sound(path.parent.parent.parent / "blobs" / name)


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
    """Remove what is damaged from the cache, by its name there, so that it is fetched anew.

    A link is removed, never what it leads to: that may be anywhere.
    """
    folder = _repository_folder(repository)
    for snapshot in folder.glob("snapshots/*"):
        if snapshot.is_symlink() or not snapshot.is_dir() or not _is_ours(snapshot):
            continue
        for path in snapshot.iterdir():
            if not path.is_symlink() or _is_whole(path):
                continue
            name = _blob_name(path)
            path.unlink()
            blob = folder / "blobs" / (name or "")
            if name and _is_ours(blob.parent) and (blob.is_symlink() or blob.is_file()):
                blob.unlink()


def _stored(repository: str, path: Path) -> Stored:
    from kh_zoo.hub.card import card_license

    license = problem = None
    try:
        license = card_license(read_card(path / CARD))
    except ModelError as error:
        problem = f"its card: {error}"
    return Stored(
        repository=repository,
        commit=path.name,
        path=path,
        license=license,
        bytes=sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        problem=problem,
    )


def _note_revision(snapshot: Path, revision: str) -> None:
    """Write what a branch or a tag is. Last, so that it names nothing that is not all there."""
    ref = snapshot.parent.parent / "refs" / revision
    _own_folder(ref.parent)
    temporary = ref.with_name(f"{ref.name}.{uuid.uuid4().hex}.tmp")
    try:
        with _create(temporary) as file:
            file.write(snapshot.name.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(ref)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(ref.parent)


def _lacks(repository: str, name: str, names: Mapping[str, object]) -> str:
    others = sorted(other for other in names if other.endswith((".bin", ".pkl", ".pt", ".pickle")))
    pickles = f" ({others[0]} is a pickle, which could run code when it is read)" if others else ""
    return (
        f"{repository}: is no model of this package: it has no `{name}`{pickles}. "
        "`kh publish` makes one"
    )


def _is_damaged(path: Path) -> bool:
    """Whether a link of a snapshot leads to what has another hash than its name."""
    expected = _blob_name(path)
    return expected is None or file_digest(path, git=len(expected) == 40) != expected


def file_digest(path: Path, *, git: bool = False) -> str:
    """Return the sha256 of a file; or the sha1 that Git has for it, as the Hub has of small ones.

    Raises:
        ModelError: If it can't be read.
    """
    try:
        with open_plain(path) as file:
            if not git:
                return hashlib.file_digest(file, "sha256").hexdigest()
            # Against damage; who could change one file could change its name too.
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            return hashlib.file_digest(file, lambda: digest).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from None
