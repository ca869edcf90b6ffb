"""A small stand-in for the Hub on loopback, which the real `huggingface_hub` client talks to in tests.

Repositories are commits of {path: entry}; contents lie under their SHA-256. Every request is kept in `calls`;
failures, dropped connections and what happens meanwhile are ordered through `fail`, `drop` and `meanwhile`.
"""

import base64
import datetime
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from card_rules import card_troubles

TOKEN = "hf_test"
_PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
_OWN = ("tester", "org")  # namespaces that the token may write to
_LARGE = (".safetensors", ".bin", ".onnx", ".parquet", ".png", ".jpg", ".webp")  # kept by LFS, as .gitattributes says


class FakeHub:
    """A Hub of its own for one test: `with FakeHub(tmp_path) as hub: ... env=hub.env`.

    Attributes:
        repos: (kind, "namespace/name") to repository.
        calls: (method, path with query, bytes of the body) of every request.
        fail: part of a path to (HTTP status, how many more times).
        drop: part of a path to (bytes after which the connection is cut, how many more times).
        meanwhile: part of a path to what is done, once, before such a request is answered.
        ranges: (path, its header Range, "" without one) of every download.
    """

    def __init__(self, root: Path) -> None:
        self.blobs = root / "blobs"
        self.blobs.mkdir(parents=True)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.calls: list[tuple[str, str, int]] = []
        self.fail: dict[str, tuple[int, int]] = {}
        self.drop: dict[str, tuple[int, int]] = {}
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.ranges: list[tuple[str, str]] = []
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """What makes a client process talk to this Hub, and to nothing else."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def __enter__(self) -> "FakeHub":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def put(self, repo_id: str, files: dict[str, bytes], kind: str = "models", private: bool = False) -> str:
        """Commit files to the main branch of a repository, made if need be; return the commit."""
        repo = self.repos.setdefault((kind, repo_id), Repo(private=private))
        head = repo.commits.get(repo.branches.get("main", ""), {})
        return repo.commit("main", {**head, **{path: self.entry(path, data) for path, data in files.items()}})

    def read(self, repo_id: str, path: str, revision: str = "main", kind: str = "models") -> bytes:
        """Return the content of a file as it was committed."""
        repo = self.repos[kind, repo_id]
        return (self.blobs / repo.commits[repo.resolve(revision)][path]["sha256"]).read_bytes()

    def files(self, repo_id: str, revision: str = "main", kind: str = "models") -> set[str]:
        """Return the paths of a repository."""
        repo = self.repos[kind, repo_id]
        return set(repo.commits[repo.resolve(revision)])

    def entry(self, path: str, data: bytes) -> dict[str, Any]:
        """Keep a content; return what a commit says of it."""
        sha256 = hashlib.sha256(data).hexdigest()
        (self.blobs / sha256).write_bytes(data)
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return {"oid": sha1, "sha256": sha256, "size": len(data), "lfs": path.endswith(_LARGE)}


class Repo:
    """One repository: commits, branches and tags."""

    def __init__(self, private: bool = False) -> None:
        self.private = private
        self.commits: dict[str, dict[str, dict]] = {}
        self.branches: dict[str, str] = {}
        self.titles: list[str] = []
        self.commit("main", {})

    def commit(self, branch: str, files: dict[str, dict], title: str = "") -> str:
        """Put a commit on a branch; return its name, 40 hex digits."""
        name = hashlib.sha1(f"{len(self.commits)} {title} {sorted(files)}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        self.titles.append(title)
        return name

    def resolve(self, revision: str) -> str | None:
        """Return the commit of a branch or of itself, None if there is none."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def handle_any(self) -> None:
        """Answer a request by the first route that fits."""
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        drop = self._ordered(self.hub.drop, url.path)
        if drop is not None and self.command in ("PUT", "POST"):
            self.rfile.read(min(drop, int(self.headers.get("Content-Length") or 0)))
            return self._cut()
        self.cut_after = drop if self.command == "GET" else None
        body = self._body()
        self.hub.calls.append((self.command, self.path, len(body)))
        with self.hub.lock:
            for part in [part for part in self.hub.meanwhile if part in url.path]:
                self.hub.meanwhile.pop(part)()
        status = self._ordered(self.hub.fail, url.path)
        if status is not None:
            return self._refuse(status, "TestFailure", "made to fail by the test")
        method = "GET" if self.command == "HEAD" else self.command
        with self.hub.lock:
            for route, pattern, name in _ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and route == method:
                    return getattr(self, name)(body, **{k: unquote(v or "") for k, v in match.groupdict().items()})
        return self._refuse(404, "NotFound", f"no route for {self.command} {url.path}")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def _ordered(self, orders: dict[str, tuple[int, int]], path: str) -> int | None:
        for part, (value, times) in orders.items():
            if part in path and times > 0 and self.command != "HEAD":
                orders[part] = (value, times - 1)
                return value
        return None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, data: Any = b"", headers: dict[str, str] | None = None) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
        for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.cut_after is not None:
            self.wfile.write(content[: self.cut_after])
            self.wfile.flush()
            return self._cut()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _find(self, kind: str, repo_id: str, revision: str = "main") -> tuple[Repo, str] | None:
        """Return the repository and the commit, or answer why there is none."""
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and not self._authorised()):
            return self._refuse(404 if self._authorised() else 401, "RepoNotFound", "Repository not found")
        commit = repo.resolve(revision)
        if commit is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit

    def whoami(self, body: bytes) -> None:
        """GET /api/whoami-v2."""
        if not self._authorised():
            return self._refuse(401, "Unauthorized", "Invalid username or password.")
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
        return self._send(200, {"type": "user", "name": "tester", "orgs": [{"name": "org"}], "auth": token})

    def create_repo(self, body: bytes) -> None:
        """POST /api/repos/create."""
        if not self._authorised():
            return self._refuse(401, "Unauthorized", "Invalid username or password.")
        asked = json.loads(body)
        kind, namespace = asked.get("type", "model") + "s", asked.get("organization") or "tester"
        if namespace not in _OWN:
            return self._refuse(403, "Forbidden", f'You don\'t have the rights to create under "{namespace}"')
        repo_id = f"{namespace}/{asked['name']}"
        answer = {"url": f"{self.hub.endpoint}/{_PREFIXES[kind]}{repo_id}", "name": repo_id, "id": repo_id}
        if (kind, repo_id) in self.hub.repos:
            return self._send(409, {"error": "You already created this repo", **answer})
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.repos[kind, repo_id] = Repo(private)
        return self._send(200, answer)

    def auth_check(self, body: bytes, kind: str, repo_id: str) -> None:
        """GET .../auth-check/write."""
        if self._find(kind, repo_id):
            if repo_id.split("/")[0] in _OWN:
                return self._send(200, {})
            return self._refuse(403, "Forbidden", "You don't have the rights to write to it")
        return None

    def validate_yaml(self, body: bytes) -> None:
        """POST /api/validate-yaml."""
        asked = json.loads(body)
        errors = [{"message": trouble} for trouble in card_troubles(asked["content"], asked["repoType"])]
        self._send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, body: bytes, kind: str, repo_id: str, revision: str) -> None:
        """POST .../preupload/REVISION: which files go by LFS."""
        if found := self._find(kind, repo_id, revision):
            head = found[0].commits[found[1]]
            files = []
            for file in json.loads(body)["files"]:
                large, known = file["path"].endswith(_LARGE), head.get(file["path"])
                oid = known["sha256" if known["lfs"] else "oid"] if known else None
                mode = "lfs" if large else "regular"
                files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            self._send(200, {"files": files, "commitOid": found[1]})

    def lfs_batch(self, body: bytes, prefix: str, repo_id: str) -> None:
        """POST .git/info/lfs/objects/batch: where to put large files."""
        objects = [{"oid": o["oid"], "size": o["size"]} for o in json.loads(body)["objects"]]
        for o in objects:
            if not (self.hub.blobs / o["oid"]).exists():
                o["actions"] = {"upload": {"href": f"{self.hub.endpoint}/upload/{o['oid']}", "header": {}}}
        self._send(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, body: bytes, oid: str) -> None:
        """PUT a large file."""
        if hashlib.sha256(body).hexdigest() != oid:
            return self._refuse(400, "BadHash", "sha256 mismatch")
        (self.hub.blobs / oid).write_bytes(body)
        return self._send(200)

    def commit(self, body: bytes, kind: str, repo_id: str, revision: str) -> None:
        """POST .../commit/REVISION: lines of JSON."""
        if not self._authorised():
            return self._refuse(401, "Unauthorized", "write needs a token")
        found = self._find(kind, repo_id, revision)
        if not found:
            return None
        repo, parent = found
        files, title = dict(repo.commits[parent]), ""
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                title = value["summary"]
                if value.get("parentCommit", parent) != parent:
                    message = "A commit has happened since. Please refresh and try again."
                    return self._refuse(412, "PreconditionFailed", message)
            elif item["key"] == "file":
                files[value["path"]] = self.hub.entry(value["path"], base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                if not (self.hub.blobs / value["oid"]).exists():
                    return self._refuse(400, "LfsMissing", f"no content for {value['path']}")
                content = (self.hub.blobs / value["oid"]).read_bytes()
                files[value["path"]] = self.hub.entry(value["path"], content)
            elif item["key"] == "deletedFile":
                files.pop(value["path"], None)
        commit = repo.commit(revision, files, title)
        address = f"{self.hub.endpoint}/{_PREFIXES[kind]}{repo_id}/commit/{commit}"
        return self._send(200, {"success": True, "commitOid": commit, "commitUrl": address, "hookOutput": ""})

    def branch(self, body: bytes, kind: str, repo_id: str, name: str) -> None:
        """POST .../branch/NAME."""
        if found := self._find(kind, repo_id):
            if name in found[0].branches:
                return self._refuse(409, "RefExists", "Reference already exists")
            found[0].branches[name] = found[1]
            self._send(200, {})
        return None

    def info(self, body: bytes, kind: str, repo_id: str, revision: str = "main") -> None:
        """GET .../REPO and .../revision/REVISION."""
        if found := self._find(kind, repo_id, revision):
            repo, commit = found
            if self.query.get("expand") == ["sha"]:
                return self._send(200, {"id": repo_id, "sha": commit})
            files = repo.commits[commit]
            now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            siblings = [
                {"rfilename": path, "size": e["size"], "blobId": e["oid"]} for path, e in sorted(files.items())
            ]
            answer = {"id": repo_id, "sha": commit, "private": repo.private, "siblings": siblings, "tags": []}
            card = self._card(files)
            self._send(200, {**answer, "cardData": card, "lastModified": now, "createdAt": now, "modelId": repo_id})
        return None

    def _card(self, files: dict[str, dict]) -> dict[str, Any]:
        if "README.md" not in files:
            return {}
        text = (self.hub.blobs / files["README.md"]["sha256"]).read_text(encoding="utf-8")
        match = re.match(r"---\n(.*?)\n---", text, re.S)
        return yaml.safe_load(match[1]) if match else {}

    def tree(self, body: bytes, kind: str, repo_id: str, revision: str, path: str = "") -> None:
        """GET .../tree/REVISION: all files below a path, or with recursive=false what lies right in it."""
        if found := self._find(kind, repo_id, revision):
            start = path.strip("/") + "/" if path.strip("/") else ""
            below = {name: e for name, e in found[0].commits[found[1]].items() if name.startswith(start)}
            if self.query.get("recursive") == ["false"]:
                folders = {start + name.removeprefix(start).split("/")[0] for name in below} - below.keys()
                below = {name: e for name, e in below.items() if "/" not in name.removeprefix(start)}
                below |= dict.fromkeys(folders)
            if start and not below:
                return self._refuse(404, "EntryNotFound", f"{path} does not exist")
            self._send(200, [_describe(name, e) for name, e in sorted(below.items())])

    def resolve(self, body: bytes, prefix: str, repo_id: str, revision: str, path: str) -> None:
        """GET or HEAD a file, whole or a range of it."""
        kind = next(k for k, p in _PREFIXES.items() if p == prefix)
        found = self._find(kind, repo_id, revision)
        if not found:
            return None
        repo, commit = found
        if path not in repo.commits[commit]:
            missing = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": commit}
            return self._send(404, {"error": "Entry not found"}, missing)
        if self.command == "GET":
            self.hub.ranges.append((path, self.headers.get("Range") or ""))
        entry = repo.commits[commit][path]
        content = (self.hub.blobs / entry["sha256"]).read_bytes()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["sha256" if entry["lfs"] else "oid"]}"'}
        headers["Accept-Ranges"] = "bytes"
        if entry["lfs"]:
            headers |= {"X-Linked-Etag": f'"{entry["sha256"]}"', "X-Linked-Size": str(entry["size"])}
        if wanted := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self._send(206, content[first : last + 1], headers)
        return self._send(200, content, headers)


def _describe(path: str, entry: dict[str, Any] | None) -> dict[str, Any]:
    if entry is None:
        return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
    described = {"type": "file", "path": path, "size": entry["size"], "oid": entry["oid"]}
    if entry["lfs"]:
        described["lfs"] = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 134}
    return described


_REPO = r"/api/(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)"
_PLAIN = r"/(?P<prefix>datasets/|spaces/)?(?P<repo_id>[^/]+/[^/]+)"
_ROUTES = (
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create_repo"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("GET", _REPO + r"/auth-check/write", "auth_check"),
    ("POST", _REPO + r"/preupload/(?P<revision>[^/]+)", "preupload"),
    ("POST", _PLAIN + r"\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/upload/(?P<oid>[0-9a-f]{64})", "lfs_put"),
    ("POST", _REPO + r"/commit/(?P<revision>[^/]+)", "commit"),
    ("POST", _REPO + r"/branch/(?P<name>[^/]+)", "branch"),
    ("GET", _REPO, "info"),
    ("GET", _REPO + r"/revision/(?P<revision>[^/]+)", "info"),
    ("GET", _REPO + r"/tree/(?P<revision>[^/]+)(?P<path>/.*)?", "tree"),
    ("GET", _PLAIN + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
)
