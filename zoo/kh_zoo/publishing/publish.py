"""Publishing a model to the Hugging Face Hub: one commit, then its tag."""

import contextlib
import dataclasses
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import kh_zoo.telemetry  # noqa: F401
from kh_zoo.catalog.find import find
from kh_zoo.errors import HubError, ModelError
from kh_zoo.hub.card import card_license
from kh_zoo.hub.client import ask_client, hub_client, hub_errors, is_offline, split_hub_id
from kh_zoo.hub.reader import HubReader, Remote, is_commit
from kh_zoo.hub.store import CARD, file_digest, read_card, read_license
from kh_zoo.networks.model_folder import MAX_HEADER
from kh_zoo.publishing.repository import build_repository, check_repository

if TYPE_CHECKING:
    import keras
    from huggingface_hub import HfApi


@dataclasses.dataclass(frozen=True)
class Published:
    """What was published, or would be."""

    repository: str
    url: str
    commit: str | None
    """None in a dry run that would make one."""
    tag: str | None
    license: str | None
    """As the card says."""
    files: dict[str, dict[str, str | int]]
    """sha256 and bytes of each file."""
    changed: tuple[str, ...]
    """Files that are not on the Hub as they are here."""
    created: bool
    """Whether the repository is new."""
    pull_request: str | None = None
    card: str = ""
    """All that `README.md` says, a person's part of it too."""


def publish(
    model: "str | Path | keras.Model",
    repository: str,
    *,
    license: str | None = None,
    size: int | None = None,
    tag: str | None = None,
    private: bool = False,
    create_pr: bool = False,
    dry_run: bool = False,
) -> Published:
    """Publish a model to the Hugging Face Hub.

    The repository opens with `kh_zoo.load_model`, `kh pull` and `keras.saving.load_model`. What a
    person wrote in its card is kept. What is there already is not sent again, so that the same call
    goes on where one was interrupted.

    Example, for somebody who is logged in as `ada`:

    >>> from kh_zoo import publish
    >>> published = publish("pool1to4", "ada/skies")
    >>> published.tag, len(published.changed), published.files["model.safetensors"]["bytes"]
    ('v1', 7, 10619096)
    >>> publish("pool1to4", "ada/skies").changed
    ()

    Args:
        model: A Keras model; or the name of a variant; or the path of a model or run folder, with
            `/VARIANT` behind it where it holds several.
        repository: `owner/repo`.
        license: Of the weights, such as `"Apache-2.0"`. Defaults to `None`: what the catalogue or
            the card says.
        size: Of a Keras model, the short side in pixels that its colours are best predicted at,
            16..4096. Defaults to `None`: 256, or none where the model is no colorizer.
        tag: Name for the commit. Defaults to `None`: the next of `v1`, `v2` and so on, unless the
            commit has one.
        private: Create the repository as one that only its owner sees.
        create_pr: Open a pull request, and leave the branch and its tags alone.
        dry_run: Only find out what would be done.

    Returns:
        A `Published`.

    Raises:
        VariantError, ModelError: There is no such model, it is not sound, there are unknown files
            with it, or no licence is known.
        HubError: The Hub can't be reached, or refuses; nothing, or the whole commit, is there.
    """
    repository, revision = split_hub_id(repository)
    if revision:
        raise ModelError(
            f"`repository` should be owner/repo, without a revision. Received: {revision!r} too"
        )
    if tag and create_pr:
        raise ModelError(
            "`tag` should not be given with `create_pr`, which leaves the tags as they are. "
            f"Received: {tag!r}"
        )
    if is_offline():
        raise HubError(f"{repository}: the network is off (HF_HUB_OFFLINE): nothing is published")
    if size is not None and isinstance(model, (str, Path)):
        raise ModelError(
            "`size` should be given with a Keras model alone; what is on the disk has its own. "
            f"Received: {size!r} with {str(model)!r}"
        )
    if isinstance(model, str | Path):
        find(model)  # before anything is asked of the Hub
    client = hub_client()
    reader = HubReader(repository)
    with tempfile.TemporaryDirectory() as temporary, hub_errors(repository):
        there, tags = _look(reader)
        _refuse(repository, there, private, create_pr)
        before = _read_card(reader, there)
        folder = Path(temporary) / "repository"
        build_repository(model, repository, folder, license=license, size=size, before=before)
        problems = check_repository(folder)
        if problems:
            raise ModelError(f"{repository}: would not be sound: {'; '.join(problems)}")
        changed = _changed(folder, there)
        head = there.commit if there else None
        name = None if create_pr else _choose_tag(repository, tags, tag, None if changed else head)
        pull_request = None
        if not dry_run:
            if there is None:
                ask_client(client.create_repo, repository, private=private)
            with _none_left_empty(client, reader) if there is None else contextlib.nullcontext():
                if there is None:
                    head = reader.look().commit
                if changed:
                    head, pull_request = _commit(
                        client, repository, folder, changed, head, create_pr
                    )
            if name and name not in tags:
                ask_client(client.create_tag, repository, tag=name, revision=head)
        return Published(
            repository=repository,
            url=f"{client.endpoint}/{repository}",
            commit=None if dry_run and changed else head,
            tag=name,
            license=read_license(folder / CARD),
            files={
                path.name: {"sha256": file_digest(path), "bytes": path.stat().st_size}
                for path in sorted(folder.iterdir())
            },
            changed=changed,
            created=there is None,
            pull_request=pull_request,
            card=read_card(folder / CARD),
        )


def _look(reader: HubReader) -> tuple[Remote | None, dict[str, str]]:
    """What is on the Hub, None if nothing is, and the commit of each tag."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = reader.look()
    except RepositoryNotFoundError:
        return None, {}
    return there, reader.tags()


@contextlib.contextmanager
def _none_left_empty(client: "HfApi", reader: HubReader) -> Iterator[None]:
    """Delete the repository that was just created if nothing came into it."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            # The commit may have been made, and only its answer lost.
            if set(reader.look().files) <= {".gitattributes"}:
                ask_client(client.delete_repo, reader.repository)
        raise


def _refuse(repository: str, there: Remote | None, private: bool, create_pr: bool) -> None:
    if there is None and create_pr:
        raise HubError(f"{repository}: a pull request needs a repository that is there already")
    if there is not None and private and not there.private:
        raise HubError(
            f"{repository}: is public: `private` is for a new one; its settings are on its page"
        )


def _read_card(reader: HubReader, there: Remote | None) -> str | None:
    """Return the card that is on the Hub; None if there is none."""
    if there is None or CARD not in there.files:
        return None
    content = io.BytesIO()
    reader.read(CARD, there.commit, content, most=MAX_HEADER)
    try:
        text = content.getvalue().decode("utf-8")
        card_license(text)
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{reader.repository}: its `{CARD}` on the Hub should be a card, so that what was "
            "written in it can be kept; correct it there, or remove it. Received: one where "
            f"{error}"
        ) from None
    return text


def _changed(folder: Path, there: Remote | None) -> tuple[str, ...]:
    changed = []
    for path in sorted(folder.iterdir()):
        file = there.files.get(path.name) if there else None
        if file is None:
            same = False
        elif file.sha256 is not None:
            same = file.sha256 == file_digest(path)
        else:
            same = file.oid == file_digest(path, git=True)
        if not same:
            changed.append(path.name)
    return tuple(changed)


def _choose_tag(
    repository: str, tags: dict[str, str], wanted: str | None, commit: str | None
) -> str | None:
    """Return the tag that the commit should have; `commit` is None if it is still to be made."""
    if wanted is not None:
        if wanted in tags and tags[wanted] != commit:
            raise HubError(
                f"{repository}: the tag {wanted!r} is at another commit, {tags[wanted][:12]}; give "
                "another `tag`"
            )
        return wanted
    numbers = {int(name[1:]): name for name in tags if re.fullmatch(r"v[0-9]{1,9}", name)}
    for name in numbers.values():
        if commit is not None and tags[name] == commit:
            return name
    return f"v{max(numbers, default=0) + 1}"


def _commit(
    client: "HfApi",
    repository: str,
    folder: Path,
    changed: tuple[str, ...],
    parent: str | None,
    create_pr: bool,
) -> tuple[str | None, str | None]:
    from huggingface_hub import CommitOperationAdd

    commit = ask_client(
        client.create_commit,
        repository,
        [CommitOperationAdd(name, folder / name) for name in changed],
        commit_message=f"Publish {', '.join(changed)}",
        parent_commit=parent,
        create_pr=create_pr,
        most=sum((folder / name).stat().st_size for name in changed),
    )
    if not is_commit(commit.oid):
        raise HubError(f"{repository}: the Hub answers with a commit that is none")
    return commit.oid, commit.pr_url
