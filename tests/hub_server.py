"""A Hugging Face Hub on loopback, for the official client, with faults on demand.

Repositories lie on disk; a commit is there or is not. LFS files are served by another host name,
as the Hub does. What the Hub refuses is refused: bad metadata of a card, a stale parent, somebody
else's namespace, an LFS object that was never sent.
"""

import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import threading
import time
import urllib.parse
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

LFS_SUFFIXES = (".h5", ".safetensors", ".onnx", ".bin", ".pkl", ".pt")
LFS_BYTES = 10_000_000
LICENSES = {
    "apache-2.0",
    "mit",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "gpl-3.0",
    "other",
    "unknown",
}
PIPELINE_TAGS = {"image-to-image", "image-segmentation", "depth-estimation", "image-classification"}
PAGE = 50
ERRORS = {
    "RepoNotFound": (404, "Repository not found"),
    "RevisionNotFound": (404, "Invalid rev id"),
    "EntryNotFound": (404, "Entry not found"),
    "GatedRepo": (403, "Access to this model is restricted"),
    401: (401, "Invalid credentials in Authorization header"),
    403: (403, "Forbidden"),
    409: (409, "Conflict"),
    412: (412, "A commit has happened since. Please refresh and try again."),
    429: (429, "Too many requests"),
    500: (500, "Internal error"),
    503: (503, "Service unavailable"),
}


class Refused(Exception):  # noqa: N818
    """An answer other than the one that was asked for."""

    def __init__(self, kind, message=None, status=None, **fields):
        default, text = ERRORS.get(kind, (400, "Bad request"))
        self.kind, self.status = kind, status or default
        self.message, self.fields = message or text, fields
        super().__init__(self.message)


@dataclasses.dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    host: str
    token: str | None
    status: int = 0
    range: str | None = None


@dataclasses.dataclass
class File:
    """A file of a commit: its content is `blobs/OID`."""

    oid: str
    size: int
    sha256: str | None = None
    """Of a file in LFS; `oid` is then that of its pointer."""

    @property
    def blob(self):
        return self.sha256 or self.oid


class HubServer:
    """The server; a context manager.

    Args:
        root: Folder of its state, which another server can go on from.
    """

    def __init__(self, root):
        self.root = Path(root)
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)
        (self.root / "repositories").mkdir(exist_ok=True)
        self.users = {"ada": ["museum"], "eve": []}
        self.tokens = {f"hf_{user}0123456789abcdef": user for user in self.users}
        self.requests = []
        self.lock = threading.RLock()
        self._faults = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def token_of(self, user):
        """The token of a user."""
        return next(token for token, owner in self.tokens.items() if owner == user)

    def variables(self, home):
        """Variables for a process whose client knows this Hub alone, with its cache in `home`."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def fail(self, pattern, fault, times=1):
        """Answer the next requests otherwise.

        Args:
            pattern: Regular expression, searched for in `"METHOD /path"`.
            fault: A key of `ERRORS`; or, of a body, `"cut"` (the line breaks in its middle),
                `"slow"`, `"wrong_hash"` (a byte is another) or `"truncated"` (its second half is
                missing, and nothing says so); a dict of headers that are others, or missing where
                they are None; bytes in place of the body; or a function that gets the handler, and
                answers by itself.
            times: How often.
        """
        self._faults.append([re.compile(pattern), fault, times])

    def forgive(self):
        """Forget the faults that are left."""
        self._faults.clear()

    def take_fault(self, line):
        with self.lock:
            for entry in self._faults:
                if entry[2] and entry[0].search(line):
                    entry[2] -= 1
                    return entry[1]
        return None

    # What tests ask

    def repositories(self):
        """Names of all repositories."""
        return sorted(
            path.name.replace("--", "/", 1) for path in (self.root / "repositories").iterdir()
        )

    def commits(self, repository, branch="main"):
        """Commits of a branch, the latest first."""
        commit, found = self.refs(repository)["branches"].get(branch), []
        while commit:
            found.append(commit)
            commit = self.commit(repository, commit)["parent"]
        return found

    def tags(self, repository):
        """Dict from each tag to its commit."""
        return self.refs(repository)["tags"]

    def files(self, repository, revision="main"):
        """Dict from each path to its bytes."""
        files = self.tree(repository, self.find_commit(repository, revision))
        return {
            path: (self.root / "blobs" / file.blob).read_bytes() for path, file in files.items()
        }

    def put(self, repository, files, *, private=False, tag=None):
        """Make a commit of its own making, whatever is in it, and return its name."""
        if repository not in self.repositories():
            self.create(repository, private)
        stored = {}
        for path, content in files.items():
            lfs = path.endswith(LFS_SUFFIXES) or len(content) > LFS_BYTES
            if lfs:
                self.write_blob(hashlib.sha256(content).hexdigest(), content)
            stored[path] = self.store(content, lfs)
        head = self.refs(repository)["branches"]["main"]
        commit = self.add_commit(repository, head, {**self.tree(repository, head), **stored}, "put")
        self.set_ref(repository, "branches", "main", commit)
        if tag:
            self.set_ref(repository, "tags", tag, commit)
        return commit

    # State

    def folder(self, repository):
        return self.root / "repositories" / repository.replace("/", "--")

    def create(self, repository, private):
        folder = self.folder(repository)
        (folder / "commits").mkdir(parents=True)
        _write(folder / "settings.json", {"private": private})
        _write(folder / "refs.json", {"branches": {}, "tags": {}, "pulls": {}})
        first = self.add_commit(repository, None, {}, "initial commit")
        self.set_ref(repository, "branches", "main", first)

    def settings(self, repository):
        return json.loads((self.folder(repository) / "settings.json").read_text())

    def refs(self, repository):
        return json.loads((self.folder(repository) / "refs.json").read_text())

    def set_ref(self, repository, kind, name, commit):
        with self.lock:
            refs = self.refs(repository)
            if commit is None:
                refs[kind].pop(name, None)
            else:
                refs[kind][name] = commit
            _write(self.folder(repository) / "refs.json", refs)

    def commit(self, repository, commit):
        return json.loads((self.folder(repository) / "commits" / f"{commit}.json").read_text())

    def tree(self, repository, commit):
        files = self.commit(repository, commit)["files"]
        return {path: File(**file) for path, file in files.items()}

    def add_commit(self, repository, parent, files, title):
        data = {
            "parent": parent,
            "title": title,
            "time": time.time_ns(),
            "files": {path: dataclasses.asdict(file) for path, file in sorted(files.items())},
        }
        commit = hashlib.sha1(json.dumps(data).encode()).hexdigest()
        _write(self.folder(repository) / "commits" / f"{commit}.json", data)
        return commit

    def find_commit(self, repository, revision):
        refs = self.refs(repository)
        pull = revision.removeprefix("refs/pr/")
        for found in (
            refs["branches"].get(revision.removeprefix("refs/heads/")),
            refs["tags"].get(revision.removeprefix("refs/tags/")),
            refs["pulls"].get(pull),
        ):
            if found:
                return found
        if (self.folder(repository) / "commits" / f"{revision}.json").is_file():
            return revision
        raise Refused("RevisionNotFound", f"Invalid rev id: {revision}")

    def store(self, content, lfs):
        if not lfs:
            oid = _git_oid(content)
            self.write_blob(oid, content)
            return File(oid, len(content))
        sha256 = hashlib.sha256(content).hexdigest()
        return self.lfs_file(sha256, len(content))

    def lfs_file(self, sha256, size):
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return File(_git_oid(text.encode()), size, sha256)

    def write_blob(self, name, content):
        path = self.root / "blobs" / name
        temporary = path.with_suffix(f".{threading.get_ident()}.tmp")
        temporary.write_bytes(content)
        temporary.replace(path)


def _git_oid(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _write(path, data):
    temporary = path.with_suffix(f".{threading.get_ident()}.tmp")
    temporary.write_text(json.dumps(data))
    os.replace(temporary, path)


def card_errors(text):
    """What the Hub has against the metadata of a card."""
    match = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    if not match:
        return []
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if not isinstance(data, dict):
        return ["metadata should be an object"]
    errors = []
    if "license" in data and data["license"] not in LICENSES:
        errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    if data.get("license") == "other" and not data.get("license_name"):
        errors.append('"license_name" is required when "license" is "other"')
    if "pipeline_tag" in data and data["pipeline_tag"] not in PIPELINE_TAGS:
        errors.append(f'"pipeline_tag" must be one of [{", ".join(sorted(PIPELINE_TAGS))}]')
    for key in ("tags", "datasets", "metrics"):
        value = data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            errors.append(f'"{key}" must be an array of strings')
    for model in data.get("model-index", []):
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append('"model-index[0].name" is required')
            continue
        for result in model.get("results", []):
            if not result.get("task", {}).get("type") or not result.get("dataset", {}).get("type"):
                errors.append('"model-index[0].results[0]" needs task.type and dataset.type')
            for metric in result.get("metrics", []):
                if "type" not in metric or "value" not in metric:
                    errors.append('"model-index[0].results[0].metrics[0]" needs type and value')
    return errors


ROUTES = []


def route(methods, pattern):
    """Mark a function as the answer to requests."""

    def mark(function):
        ROUTES.append((methods.split(), re.compile(pattern), function))
        return function

    return mark


K = r"/api/models/(?P<repository>[^/]+/[^/]+)"


@route("GET", r"/api/whoami-v2")
def whoami(hub, request):
    user = request.need_user()
    orgs = [{"type": "org", "name": org} for org in hub.users[user]]
    access = {"displayName": "test", "role": "write"}
    return {
        "type": "user", "name": user, "fullname": user, "email": f"{user}@example.org",
        "orgs": orgs, "auth": {"accessToken": access},
    }  # fmt: skip


@route("POST", r"/api/validate-yaml")
def validate_yaml(hub, request):
    errors = card_errors(request.json()["content"])
    if errors:
        listed = [{"message": error} for error in errors]
        raise Refused("BadCard", "Invalid metadata", errors=listed, warnings=[])
    return {"errors": [], "warnings": []}


@route("GET", r"/api/models")
def list_models(hub, request):
    found = [name for name in hub.repositories() if request.may_read(name)]
    author = request.query.get("author")
    return [
        {"id": name, "modelId": name}
        for name in found
        if not author or name.startswith(f"{author}/")
    ][: int(request.query.get("limit", 1000))]


@route("POST", r"/api/repos/create")
def create(hub, request):
    body = request.json()
    user = request.need_user()
    owner = body.get("organization") or user
    repository = f"{owner}/{body['name']}"
    request.need_write(repository)
    url = f"{hub.endpoint}/{repository}"
    with hub.lock:
        if repository in hub.repositories():
            raise Refused(409, "You already created this model repo", url=url)
        hub.create(repository, body.get("private") or body.get("visibility") == "private")
    return {"url": url, "id": repository, "name": repository}


@route("DELETE", r"/api/repos/delete")
def delete(hub, request):
    body = request.json()
    repository = f"{body.get('organization') or request.need_user()}/{body['name']}"
    request.need_write(repository)
    request.need_read(repository)
    shutil.rmtree(hub.folder(repository))
    return {}


@route("PUT", K + r"/settings")
def change_settings(hub, request, repository):
    request.need_write(repository)
    body = request.json()
    private = body.get("private", body.get("visibility") == "private")
    _write(hub.folder(repository) / "settings.json", {"private": private})
    return {"private": private}


@route("GET", K + r"(?:/revision/(?P<revision>[^/]+))?")
def info(hub, request, repository, revision=None):
    request.need_read(repository)
    commit = hub.find_commit(repository, revision or "main")
    tree = hub.tree(repository, commit)
    siblings = []
    for path, file in tree.items():
        sibling = {"rfilename": path}
        if request.query.get("blobs"):
            sibling |= {"size": file.size, "blobId": file.oid}
            if file.sha256:
                sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
        siblings.append(sibling)
    card = {}
    if "README.md" in tree:
        text = (hub.root / "blobs" / tree["README.md"].blob).read_text()
        match = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        with suppress(yaml.YAMLError):
            card = yaml.safe_load(match[1]) if match else {}
    return {
        "_id": "0", "id": repository, "modelId": repository, "sha": commit,
        "author": repository.split("/")[0], "private": hub.settings(repository)["private"],
        "tags": card.get("tags", []), "cardData": card, "siblings": siblings,
        "library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag"),
        "gated": False, "disabled": False, "downloads": 0, "likes": 0,
    }  # fmt: skip


@route("GET", K + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?")
def tree(hub, request, repository, revision, path=""):
    request.need_read(repository)
    files = hub.tree(repository, hub.find_commit(repository, revision))
    prefix = f"{path}/" if path else ""
    entries = [_entry(name, file) for name, file in files.items() if name.startswith(prefix)]
    start = int(request.query.get("cursor", 0))
    if start + PAGE < len(entries):
        query = urllib.parse.urlencode({**request.query, "cursor": start + PAGE})
        request.extra["Link"] = f'<{hub.endpoint}{request.raw_path}?{query}>; rel="next"'
    return entries[start : start + PAGE]


@route("POST", K + r"/paths-info/(?P<revision>[^/]+)")
def paths_info(hub, request, repository, revision):
    request.need_read(repository)
    files = hub.tree(repository, hub.find_commit(repository, revision))
    wanted = urllib.parse.parse_qs(request.body().decode()).get("paths", [])
    return [_entry(path, files[path]) for path in wanted if path in files]


def _entry(path, file):
    entry = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
    if file.sha256:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


@route("GET", K + r"/refs")
def refs(hub, request, repository):
    request.need_read(repository)
    found = hub.refs(repository)

    def listed(kind, prefix):
        return [
            {"name": name, "ref": f"{prefix}{name}", "targetCommit": commit}
            for name, commit in found[kind].items()
        ]

    return {
        "branches": listed("branches", "refs/heads/"),
        "tags": listed("tags", "refs/tags/"),
        "pullRequests": listed("pulls", "refs/pr/"),
        "converts": [],
    }


@route("GET", K + r"/commits/(?P<revision>[^/]+)")
def commits(hub, request, repository, revision):
    request.need_read(repository)
    commit, found = hub.find_commit(repository, revision), []
    while commit:
        data = hub.commit(repository, commit)
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(data["time"] / 1e9))
        found.append(
            {"id": commit, "title": data["title"], "message": "", "authors": [], "date": date}
        )
        commit = data["parent"]
    return found


@route("POST DELETE", K + r"/tag/(?P<name>[^/]+)")
def tag(hub, request, repository, name):
    request.need_write(repository)
    if request.command == "DELETE":
        if name not in hub.tags(repository):
            raise Refused("RevisionNotFound")
        hub.set_ref(repository, "tags", name, None)
        return {}
    commit = hub.find_commit(repository, name)
    new = request.json()["tag"]
    if new in hub.tags(repository):
        raise Refused(409, f"Tag reference {new} exists already")
    hub.set_ref(repository, "tags", new, commit)
    return {}


@route("POST", K + r"/branch/(?P<name>[^/]+)")
def branch(hub, request, repository, name):
    request.need_write(repository)
    start = request.json().get("startingPoint") or "main"
    if name in hub.refs(repository)["branches"]:
        raise Refused(409, "Reference already exists")
    hub.set_ref(repository, "branches", name, hub.find_commit(repository, start))
    return {}


@route("POST", K + r"/preupload/(?P<revision>[^/]+)")
def preupload(hub, request, repository, revision):
    request.need_write(repository, pull=bool(request.query.get("create_pr")))
    present = hub.tree(repository, hub.find_commit(repository, revision))
    answers = []
    for file in request.json()["files"]:
        lfs = file["path"].endswith(LFS_SUFFIXES) or file["size"] > LFS_BYTES
        answer = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular"}
        answer["shouldIgnore"] = False
        if file["path"] in present:
            answer["oid"] = present[file["path"]].blob
        answers.append(answer)
    return {"files": answers}


@route("POST", r"/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
def lfs_batch(hub, request, repository):
    request.need_write(repository, pull=True)
    objects = []
    for wanted in request.json()["objects"]:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if not (hub.root / "blobs" / wanted["oid"]).is_file():
            href = f"http://localhost:{hub.port}/upload/{wanted['oid']}?size={wanted['size']}"
            verify = f"{hub.endpoint}/{repository}.git/info/lfs/verify"
            answer["actions"] = {"upload": {"href": href}, "verify": {"href": verify}}
        objects.append(answer)
    return {"transfer": "basic", "objects": objects}


@route("PUT", r"/upload/(?P<oid>[0-9a-f]{64})")
def upload(hub, request, oid):
    content = request.body()
    if hashlib.sha256(content).hexdigest() != oid or len(content) != int(request.query["size"]):
        raise Refused("BadObject", "The object's sha256 or size is not what was announced")
    hub.write_blob(oid, content)
    return {}


@route("POST", r"/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/verify")
def lfs_verify(hub, request, repository):
    if not (hub.root / "blobs" / request.json()["oid"]).is_file():
        raise Refused("EntryNotFound", "No such LFS object")
    return {}


@route("POST", K + r"/commit/(?P<revision>[^/]+)")
def make_commit(hub, request, repository, revision):
    pull = bool(request.query.get("create_pr"))
    request.need_write(repository, pull=pull)
    lines = [json.loads(line) for line in request.body().splitlines() if line.strip()]
    header = lines[0]["value"]
    with hub.lock:
        head = hub.find_commit(repository, revision)
        parent = header.get("parentCommit")
        if parent and parent != head and not head.startswith(parent):
            raise Refused(412)
        files = hub.tree(repository, head)
        for line in lines[1:]:
            value = line["value"]
            match line["key"]:
                case "file":
                    content = base64.b64decode(value["content"])
                    if value["path"] == "README.md" and card_errors(content.decode()):
                        raise Refused(
                            "BadCard", f"Invalid metadata: {card_errors(content.decode())}"
                        )
                    files[value["path"]] = hub.store(content, False)
                case "lfsFile":
                    if not (hub.root / "blobs" / value["oid"]).is_file():
                        text = f"LFS pointer pointed to a file that does not exist: {value['path']}"
                        raise Refused("BadObject", text)
                    files[value["path"]] = hub.lfs_file(value["oid"], value["size"])
                case "deletedFile":
                    files.pop(value["path"])
                case "deletedFolder":
                    prefix = value["path"].rstrip("/") + "/"
                    files = {k: v for k, v in files.items() if not k.startswith(prefix)}
        commit = hub.add_commit(repository, head, files, header["summary"])
        answer = {"commitOid": commit, "commitUrl": f"{hub.endpoint}/{repository}/commit/{commit}"}
        if pull:
            number = str(len(hub.refs(repository)["pulls"]) + 1)
            hub.set_ref(repository, "pulls", number, commit)
            answer["pullRequestUrl"] = f"{hub.endpoint}/{repository}/discussions/{number}"
        else:
            hub.set_ref(repository, "branches", revision, commit)
    return answer


@route("GET HEAD", r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(hub, request, repository, revision, path):
    request.need_read(repository)
    commit = hub.find_commit(repository, revision)
    request.extra["X-Repo-Commit"] = commit
    file = hub.tree(repository, commit).get(path)
    if file is None:
        raise Refused("EntryNotFound", f"{path} is not in {commit}")
    if file.sha256 is None:
        request.extra["ETag"] = f'"{file.oid}"'
        return hub.root / "blobs" / file.blob
    request.extra |= {
        "ETag": f'"{file.oid}"',
        "X-Linked-Etag": f'"{file.sha256}"',
        "X-Linked-Size": str(file.size),
        "Location": f"http://localhost:{hub.port}/blobs/{file.sha256}?signature=secret",
    }
    request.status = 302
    return b""


@route("GET HEAD", r"/blobs/(?P<oid>[0-9a-f]{64})")
def blob(hub, request, oid):
    path = hub.root / "blobs" / oid
    if not path.is_file():
        raise Refused("EntryNotFound")
    request.extra["ETag"] = f'"{oid}"'
    return path


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.answer()

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def answer(self):
            self.raw_path, _, query = self.path.partition("?")
            self.query = dict(urllib.parse.parse_qsl(query))
            self.extra, self.status, self._body = {}, 200, None
            token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
            self.record = Request(
                self.command, self.path, self.headers.get("Host", "").split(":")[0], token
            )
            self.record.range = self.headers.get("Range")
            with hub.lock:
                hub.requests.append(self.record)
            fault = hub.take_fault(f"{self.command} {self.path}")
            try:
                self.body()  # or else it would be taken for the next request
                if callable(fault):
                    self.close_connection = True
                    with suppress(OSError):
                        fault(self)
                    return
                if isinstance(fault, str | int) and fault in ERRORS:
                    self.extra |= {"Retry-After": "0"} if fault in (429, 503) else {}
                    raise Refused(fault)
                content = self.dispatch(token)
            except Refused as refused:
                self.status = refused.status
                if isinstance(refused.kind, str):
                    self.extra["X-Error-Code"] = refused.kind
                self.extra["X-Error-Message"] = refused.message
                content = {"error": refused.message, **refused.fields}
            with suppress(ConnectionError):
                self.send(content, fault)

        def dispatch(self, token):
            if token is not None and token not in hub.tokens:
                raise Refused(401)
            self.user = hub.tokens.get(token)
            for methods, pattern, function in ROUTES:
                match = pattern.fullmatch(self.raw_path)
                if match and self.command in methods:
                    found = match.groupdict()
                    values = {k: urllib.parse.unquote(v) for k, v in found.items() if v is not None}
                    return function(hub, self, **values)
            raise Refused("EntryNotFound", f"No route: {self.command} {self.raw_path}")

        def send(self, content, fault):
            if isinstance(content, Path):
                content = self.ranged(content.read_bytes())
            elif not isinstance(content, bytes):
                content = json.dumps(content).encode()
                self.extra.setdefault("Content-Type", "application/json")
            if isinstance(fault, bytes):
                content = fault
            if isinstance(fault, dict):
                self.extra = {k: v for k, v in {**self.extra, **fault}.items() if v is not None}
            if fault == "wrong_hash" and content:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if fault == "truncated":
                content = content[: len(content) // 2]
            self.record.status = self.status
            self.send_response(self.status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in self.extra.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "cut":
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.connection.shutdown(2)
                self.close_connection = True
                return
            step = 64 * 1024 if fault == "slow" else len(content) or 1
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                if fault == "slow":
                    time.sleep(0.02)

        def ranged(self, content):
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not match:
                return content
            start, last = int(match[1]), int(match[2] or len(content) - 1)
            if start >= len(content):
                self.status = 416
                self.extra["Content-Range"] = f"bytes */{len(content)}"
                return b""
            self.status = 206
            self.extra["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
            return content[start : last + 1]

        def body(self):
            if self._body is None:
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    self._body = b"".join(iter(self.chunk, b""))
                else:
                    self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return self._body

        def chunk(self):
            size = int(self.rfile.readline().strip() or b"0", 16)
            content = self.rfile.read(size)
            self.rfile.readline()
            return content

        def json(self):
            return json.loads(self.body())

        def need_user(self):
            if self.user is None:
                raise Refused(401, "Invalid username or password.")
            return self.user

        def may_read(self, repository):
            return repository in hub.repositories() and (
                not hub.settings(repository)["private"] or self.owns(repository)
            )

        def need_read(self, repository):
            if not self.may_read(repository):
                raise Refused("RepoNotFound")

        def owns(self, repository):
            owner = repository.split("/")[0]
            return self.user is not None and owner in (self.user, *hub.users[self.user])

        def need_write(self, repository, pull=False):
            self.need_user()
            if repository in hub.repositories():
                self.need_read(repository)
            if not self.owns(repository) and not (pull and self.may_read(repository)):
                raise Refused(403, f"You don't have the rights to write to {repository}")

        def log_message(self, *arguments):
            pass

    return Handler
