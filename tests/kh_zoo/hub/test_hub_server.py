"""The Hub of the tests answers the official client, and refuses what the Hub refuses."""

import hashlib

import pytest
from hub_server import HubServer
from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub import errors as hf

LARGE = bytes(range(256)) * 1200
CARD = "---\nlicense: apache-2.0\ntags: [keras]\n---\nA model.\n"


@pytest.fixture
def ada(hub):
    return HfApi(token=hub.token_of("ada"))


@pytest.fixture
def eve(hub):
    return HfApi(token=hub.token_of("eve"))


def add(path, content):
    return CommitOperationAdd(path, content if isinstance(content, bytes) else content.encode())


def make(api, repository="ada/model", files=None):
    api.create_repo(repository)
    operations = [add(*file) for file in (files or {"a.txt": "a", "w.safetensors": LARGE}).items()]
    return api.create_commit(repository, operations, commit_message="first")


def test_what_was_uploaded_is_downloaded(hub, ada):
    commit = make(ada)
    assert hub.repositories() == ["ada/model"]
    assert hub.files("ada/model") == {"a.txt": b"a", "w.safetensors": LARGE}
    folder = snapshot_download("ada/model")
    for name, content in {"a.txt": b"a", "w.safetensors": LARGE}.items():
        with open(f"{folder}/{name}", "rb") as file:
            assert file.read() == content
    info = ada.model_info("ada/model", files_metadata=True)
    assert info.sha == commit.oid == hub.commits("ada/model")[0]
    sizes = {file.rfilename: file.size for file in info.siblings}
    assert sizes == {"a.txt": 1, "w.safetensors": len(LARGE)}
    lfs = {file.rfilename: file.lfs and file.lfs.sha256 for file in info.siblings}
    assert lfs == {"a.txt": None, "w.safetensors": hashlib.sha256(LARGE).hexdigest()}


def test_no_token_goes_to_the_host_of_the_blobs(hub, ada):
    make(ada)
    hf_hub_download("ada/model", "w.safetensors", token=hub.token_of("ada"))
    blobs = [request for request in hub.requests if request.path.startswith("/blobs")]
    assert blobs
    assert {(request.host, request.token) for request in blobs} == {("localhost", None)}


def test_the_same_again_is_no_commit(hub, ada):
    make(ada)
    before = hub.commits("ada/model")
    ada.create_commit("ada/model", [add("w.safetensors", LARGE)], commit_message="again")
    assert hub.commits("ada/model") == before


def test_listings(hub, ada):
    make(ada, files={f"{number:03}.txt": "x" for number in range(120)})
    assert len(list(ada.list_repo_tree("ada/model", recursive=True))) == 120  # of several pages
    [found] = ada.get_paths_info("ada/model", ["007.txt", "nothing.txt"])
    assert found.path == "007.txt"
    assert [model.id for model in ada.list_models(author="ada")] == ["ada/model"]
    assert len(ada.list_repo_commits("ada/model")) == 2


def test_tags_branches_and_commits(hub, ada):
    first = make(ada).oid
    ada.create_tag("ada/model", tag="v1")
    ada.create_commit("ada/model", [add("a.txt", "b")], commit_message="second")
    for revision, content in (("v1", "a"), (first, "a"), ("main", "b")):
        with open(hf_hub_download("ada/model", "a.txt", revision=revision)) as file:
            assert file.read() == content
    assert hub.tags("ada/model") == {"v1": first}
    assert [ref.name for ref in ada.list_repo_refs("ada/model").tags] == ["v1"]
    with pytest.raises(hf.HfHubHTTPError, match="exists already"):
        ada.create_tag("ada/model", tag="v1")
    ada.delete_tag("ada/model", tag="v1")
    ada.create_branch("ada/model", branch="old", revision=first)
    assert hub.commits("ada/model", "old")[0] == first
    assert hub.tags("ada/model") == {}


def test_a_pull_request_leaves_main(hub, ada):
    first = make(ada).oid
    answer = ada.create_commit(
        "ada/model", [add("a.txt", "b")], commit_message="better", create_pr=True
    )
    assert answer.pr_revision == "refs/pr/1"
    assert hub.commits("ada/model")[0] == first
    assert hub.files("ada/model", "refs/pr/1")["a.txt"] == b"b"


def test_a_private_repository(hub, ada, eve):
    ada.create_repo("museum/secret", private=True)
    ada.create_commit("museum/secret", [add("a.txt", "a")], commit_message="first")
    assert hf_hub_download("museum/secret", "a.txt", token=hub.token_of("ada"))
    for api in (HfApi(token=False), eve):
        with pytest.raises(hf.RepositoryNotFoundError):
            api.model_info("museum/secret")
    ada.update_repo_settings("museum/secret", private=False)
    assert eve.model_info("museum/secret").private is False


def test_what_the_hub_refuses(hub, ada, eve):
    first = make(ada).oid
    ada.create_commit("ada/model", [add("a.txt", "b")], commit_message="second")
    before = hub.commits("ada/model")
    with pytest.raises(hf.HfHubHTTPError, match="412"):
        ada.create_commit(
            "ada/model", [add("a.txt", "c")], commit_message="late", parent_commit=first
        )
    with pytest.raises(hf.HfHubHTTPError, match="403"):
        eve.create_commit("ada/model", [add("a.txt", "c")], commit_message="foreign")
    with pytest.raises(hf.HfHubHTTPError, match="403"):
        eve.create_repo("museum/model")
    with pytest.raises(hf.HfHubHTTPError, match="401"):
        HfApi(token=False).create_repo("ada/other")
    with pytest.raises(hf.HfHubHTTPError, match="401"):
        HfApi(token="hf_nobody0123456789").model_info("ada/model")
    with pytest.raises(hf.HfHubHTTPError, match="409"):
        ada.create_repo("ada/model")
    for metadata in ("license: [", "license: mine", "pipeline_tag: magic", "tags: keras"):
        with pytest.raises(ValueError, match=r"[Ii]nvalid"):
            ada.create_commit(
                "ada/model", [add("README.md", f"---\n{metadata}\n---\n")], commit_message="card"
            )
    ada.create_commit("ada/model", [add("README.md", CARD)], commit_message="card")
    assert hub.commits("ada/model")[1:] == before


def test_an_lfs_object_that_was_not_sent_is_refused(hub, ada):
    make(ada)
    operation = add("x.safetensors", LARGE + b"x")
    ada.preupload_lfs_files("ada/model", [operation], free_memory=False)
    (hub.root / "blobs" / operation.upload_info.sha256.hex()).unlink()
    with pytest.raises(hf.HfHubHTTPError, match="does not exist"):
        ada.create_commit("ada/model", [operation], commit_message="pointer")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (401, hf.HfHubHTTPError),
        (403, hf.HfHubHTTPError),
        ("GatedRepo", hf.GatedRepoError),
        ("RepoNotFound", hf.RepositoryNotFoundError),
        ("RevisionNotFound", hf.RevisionNotFoundError),
        ("EntryNotFound", hf.EntryNotFoundError),
        (409, hf.HfHubHTTPError),
        (412, hf.HfHubHTTPError),
        (500, hf.HfHubHTTPError),
        (503, hf.HfHubHTTPError),
    ],
)
def test_faults_of_status(hub, ada, fault, error):
    make(ada)
    hub.fail("GET /api/models/ada/model", fault)
    with pytest.raises(error):
        ada.model_info("ada/model")
    assert ada.model_info("ada/model").id == "ada/model"


def test_a_busy_hub_is_asked_again(hub, ada):
    make(ada)
    hub.fail("GET /ada/model/resolve", 429)
    with open(hf_hub_download("ada/model", "a.txt")) as file:
        assert file.read() == "a"


def test_faults_of_the_body(hub, ada):
    make(ada)
    hub.fail("GET /blobs", "cut")
    with open(hf_hub_download("ada/model", "w.safetensors"), "rb") as file:
        assert file.read() == LARGE
    assert [r.status for r in hub.requests if r.path.startswith("/blobs")] == [200, 200]
    hub.fail("GET /blobs", "slow")
    hf_hub_download("ada/model", "w.safetensors", force_download=True)
    hub.fail("GET /blobs", "truncated")
    with pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download("ada/model", "w.safetensors", force_download=True)
    hub.fail("GET /blobs", "wrong_hash")
    with open(hf_hub_download("ada/model", "w.safetensors", force_download=True), "rb") as file:
        assert file.read() != LARGE  # the client does not look at the hash: ours has to


def test_another_server_goes_on(hub, ada):
    make(ada)
    with HubServer(hub.root) as again:
        assert again.files("ada/model") == hub.files("ada/model")
        assert (
            HfApi(endpoint=again.endpoint).model_info("ada/model").sha
            == hub.commits("ada/model")[0]
        )
