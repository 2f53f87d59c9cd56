"""A stand-in for the Hugging Face hub: what `huggingface_hub` asks over HTTP to create, fill and read a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)

    def add(self, branch: str, files: dict[str, bytes], message: str = "") -> str:
        before = self.commits.get(self.branches.get(branch, ""), {})
        content = {**before, **files}
        digest = hashlib.sha1(json.dumps([len(self.commits), sorted(content)]).encode()).hexdigest()
        self.commits[digest], self.branches[branch] = content, digest
        self.messages.append(message)
        return digest


class Hub:
    """Repositories by name, the token that may write, and how many requests were answered."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.token = "hf_stand_in"
        self.requests = 0
        self.address = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, b"{}", X_Error_Code=code, X_Error_Message=code, Content_Type="application/json")

    def _repository(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._is_owner()):
            self._refuse(401, "RepoNotFound")
            return None
        return found

    def _is_owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests += 1
        path = unquote(urlsplit(self.path).path)
        if path in ("", "/"):
            return self._answer(200)
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            kind, revision = (rest[0], "/".join(rest[1:])) if rest else ("revision", "main")
        else:
            owner, name, _, *rest = path[1:].split("/")
            kind, revision = "resolve", rest[0]
        if (repository := self._repository(f"{owner}/{name}")) is None:
            return None
        if (commit := repository.commit_of(revision)) is None:
            return self._refuse(404, "RevisionNotFound")
        files = repository.commits[commit]
        if kind == "tree":
            return self._json([{"type": "file", "path": file, **_facts(content)} for file, content in files.items()])
        if kind == "resolve":
            file = "/".join(rest[1:])
            if file not in files:
                return self._refuse(404, "EntryNotFound")
            etag = f'"{_facts(files[file])["oid"]}"'
            return self._answer(200, files[file], ETag=etag, X_Repo_Commit=commit)
        siblings = [{"rfilename": file} for file in files]
        return self._json({"id": f"{owner}/{name}", "sha": commit, "private": repository.private, "siblings": siblings})

    def do_POST(self) -> None:
        self.hub.requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if not self._is_owner():
            return self._refuse(401, "Unauthorized")
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            private = asked.get("private") or asked.get("visibility") == "private"
            self.hub.repositories[name] = Repository(bool(private))
            self.hub.repositories[name].add("main", {".gitattributes": b""})
            return self._json({"url": f"{self.hub.address}/{name}", "name": name, "id": "1"})
        owner, name, action, revision = path.removeprefix("/api/models/").split("/", 3)
        if (repository := self._repository(f"{owner}/{name}")) is None:
            return None
        if action == "branch":
            repository.branches.setdefault(revision, repository.branches["main"])
            return self._json({})
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        return self._commit(f"{owner}/{name}", revision, [json.loads(line) for line in body.splitlines()])

    def _commit(self, name: str, revision: str, lines: list[Any]) -> None:
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        message = next(line["value"]["summary"] for line in lines if line["key"] == "header")
        commit = self.hub.repositories[name].add(revision, files, message)
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.address}/{name}/commit/{commit}"})


def _facts(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
