"""Publishing a model to the Hugging Face Hub: one commit, then its tag."""

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kh_zoo.card import card_license
from kh_zoo.errors import HubError, ModelError
from kh_zoo.hub import hub_client, hub_errors, is_offline, split_hub_id
from kh_zoo.repository import build_repository, check_repository
from kh_zoo.store import CARD, file_digest, read_license

if TYPE_CHECKING:
    import keras
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import GitRefs, ModelInfo


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


def publish(
    model: "str | Path | keras.Model",
    repository: str,
    *,
    license: str | None = None,
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
    ('v1', 7, 10619088)
    >>> publish("pool1to4", "ada/skies").changed
    ()

    Args:
        model: A Keras model; or, as for `load_model`, the name of a variant or a path.
        repository: `owner/repo`.
        license: Of the weights, such as `"Apache-2.0"`. Defaults to `None`: what the catalogue or
            the card says.
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
    client = hub_client()
    with tempfile.TemporaryDirectory() as temporary, hub_errors(repository):
        info, refs = _look(client, repository)
        _refuse(repository, info, private, create_pr)
        before = _read_card(client, repository, info, Path(temporary) / "there")
        folder = Path(temporary) / "repository"
        build_repository(model, repository, folder, license=license, before=before)
        problems = check_repository(folder)
        if problems:
            raise ModelError(f"{repository}: would not be sound: {'; '.join(problems)}")
        changed = _changed(folder, info)
        head = info.sha if info else None
        name = None if create_pr else _choose_tag(repository, refs, tag, None if changed else head)
        pull_request = None
        if not dry_run:
            if info is None:
                client.create_repo(repository, private=private)
                head = client.model_info(repository).sha
            if changed:
                head, pull_request = _commit(client, repository, folder, changed, head, create_pr)
            if name and not any(ref.name == name for ref in (refs.tags if refs else [])):
                client.create_tag(repository, tag=name, revision=head)
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
            created=info is None,
            pull_request=pull_request,
        )


def _look(client: "HfApi", repository: str) -> "tuple[ModelInfo | None, GitRefs | None]":
    """What is on the Hub; None if nothing is."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = client.model_info(repository, files_metadata=True)
    except RepositoryNotFoundError:
        return None, None
    return info, client.list_repo_refs(repository)


def _refuse(repository: str, info: "ModelInfo | None", private: bool, create_pr: bool) -> None:
    if info is None and create_pr:
        raise HubError(f"{repository}: a pull request needs a repository that is there already")
    if info is not None and private and not info.private:
        raise HubError(
            f"{repository}: is public: `private` is for a new one; its settings are on its page"
        )


def _read_card(
    client: "HfApi", repository: str, info: "ModelInfo | None", folder: Path
) -> str | None:
    """Return the card that is on the Hub; None if there is none."""
    if info is None or all(file.rfilename != CARD for file in info.siblings or []):
        return None
    path = client.hf_hub_download(repository, CARD, revision=info.sha, local_dir=folder)
    try:
        text = Path(path).read_text(encoding="utf-8")
        card_license(text)
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{repository}: its `{CARD}` on the Hub should be a card, so that what was written in "
            f"it can be kept; correct it there, or remove it. Received: one where {error}"
        ) from None
    return text


def _changed(folder: Path, info: "ModelInfo | None") -> tuple[str, ...]:
    there = {file.rfilename: file for file in (info.siblings or [] if info else [])}
    changed = []
    for path in sorted(folder.iterdir()):
        file = there.get(path.name)
        if file is None:
            same = False
        elif file.lfs is not None:
            same = file.lfs.sha256 == file_digest(path)
        else:
            same = file.blob_id == file_digest(path, git=True)
        if not same:
            changed.append(path.name)
    return tuple(changed)


def _choose_tag(
    repository: str, refs: "GitRefs | None", wanted: str | None, commit: str | None
) -> str | None:
    """Return the tag that the commit should have; `commit` is None if it is still to be made."""
    tags = {ref.name: ref.target_commit for ref in (refs.tags if refs else [])}
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

    commit = client.create_commit(
        repository,
        [CommitOperationAdd(name, folder / name) for name in changed],
        commit_message=f"Publish {', '.join(changed)}",
        parent_commit=parent,
        create_pr=create_pr,
    )
    return commit.oid, commit.pr_url
