"""What talks to a page over HTTP, and serves one to be talked to."""

import contextlib
import http.client
import json
import threading
import time
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

from kh_zoo.page.server import PageServer


class Client:
    """Talks to a page."""

    def __init__(self, server):
        self.server = server
        parts = urlsplit(server.address)
        self.host, self.path = parts.netloc, parts.path

    def ask(self, method, path, body=None, headers=None):
        """Return status, headers and content of the answer; paths with / are whole ones."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        with contextlib.closing(connection):
            whole = path if path.startswith("/") else self.path + path
            connection.request(method, whole, body, headers or {})
            answer = connection.getresponse()
            return SimpleNamespace(
                status=answer.status, headers=answer.headers, content=answer.read()
            )

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.content
        return answer.content

    def put(self, name, content):
        answer = self.ask("PUT", f"pictures?name={quote(name, safe='')}", content)
        assert answer.status == 201, answer.content
        return json.loads(answer.content)["id"]

    def pictures(self):
        state = json.loads(self.get("state?since=-1"))
        return {picture["id"]: picture for picture in state["pictures"]}

    def wait(self, *ids):
        """Return what became of pictures."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pictures = self.pictures()
            if all(pictures[id]["status"] in ("done", "failed") for id in ids):
                return [pictures[id] for id in ids]
            time.sleep(0.02)
        raise AssertionError(f"still not done: {pictures}")

    def choose(self, ids, model, saturation):
        body = json.dumps({"ids": ids, "model": model, "saturation": saturation})
        assert self.ask("POST", "settings", body).status == 200
        return self.wait(*ids)


@contextlib.contextmanager
def served(options):
    with PageServer(options) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Client(server)
        finally:
            server.stop()
            thread.join()
