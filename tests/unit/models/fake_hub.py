"""A small Hugging Face hub on loopback: the endpoints that snapshot_download asks. The real one is not reached."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """`token`: who may see it, None for everyone. `gated`: its licence was not accepted."""

    files: dict[str, bytes]
    commit: str = "a" * 40
    branches: tuple[str, ...] = ("main",)
    token: str | None = None
    gated: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    authorization: str | None
    range: str | None


@dataclass
class FakeHub:
    """Serve `repositories`, note every request. `cut` names files whose next download breaks off half-way."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def downloads(self, name: str) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and request.path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        self.hub.requests.append(Request(self.command, path, headers.get("authorization"), headers.get("range")))
        name = path.removeprefix("/api/models").strip("/")
        owner, short, *rest = name.split("/")
        repository = self.hub.repositories.get(f"{owner}/{short}")
        if repository is None or (repository.token and headers.get("authorization") != f"Bearer {repository.token}"):
            return self._refuse(404 if headers.get("authorization") else 401, "RepoNotFound")
        if rest[1] not in (*repository.branches, repository.commit):
            return self._refuse(404, "RevisionNotFound")
        match rest:
            case ["revision", _]:
                self._answer_json(self._info(f"{owner}/{short}", repository))
            case ["tree", *_]:
                self._answer_json([{"type": "file", **self._listed(n, c)} for n, c in repository.files.items()])
            case _ if repository.gated:
                self._refuse(403, "GatedRepo")
            case ["resolve", _, *parts] if "/".join(parts) in repository.files:
                self._answer_file("/".join(parts), repository)
            case _:
                self._refuse(404, "EntryNotFound")

    def _info(self, name: str, repository: Repository) -> dict[str, Any]:
        siblings = [{"rfilename": path, "size": len(content)} for path, content in repository.files.items()]
        return {"id": name, "sha": repository.commit, "siblings": siblings, "tags": []}

    def _listed(self, path: str, content: bytes) -> dict[str, Any]:
        return {"path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _answer_file(self, path: str, repository: Repository) -> None:
        content = repository.files[path]
        first = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        cut = self.command == "GET" and path in self.hub.cut
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", repository.commit)
        self.send_header("X-Linked-Size", str(len(content)))
        self.end_headers()
        if cut:
            self.hub.cut.discard(path)
            self.wfile.write(content[first : len(content) // 2])
            self.close_connection = True
        elif self.command == "GET":
            self.wfile.write(content[first:])

    def _answer_json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode())

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code, "X-Error-Message": code})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
