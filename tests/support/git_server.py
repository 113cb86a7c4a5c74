"""Bare git repositories behind real smart HTTP, with a user and a password, on loopback.

`python -m tests.support.git_server PORT ROOT [--private]` serves until it is stopped; the credentials come
from the environment, where other users of the machine do not see them.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import io
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import requests

from tests.support import detached
from tests.support.errors import SetupError
from tests.support.registry import free_port

BRANCH = "main"
USERNAME_VARIABLE = "GIT_SERVER_USERNAME"
PASSWORD_VARIABLE = "GIT_SERVER_PASSWORD"
DEFAULT_LIFETIME_S = 3600
WITHOUT_SHALLOW = "without-shallow"  # a file in a repository
TOKEN_USERS = ("x-access-token", "gitlab-ci-token")
"""The names beside which GitHub and GitLab expect a token; here it is the password."""
CHECKOUT = Path(__file__).resolve().parents[2]

# A developer's own git configuration (signing, hooks, other names) must not reach these repositories.
_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Platform Team",
    "GIT_AUTHOR_EMAIL": "platform@example.com",
    "GIT_COMMITTER_NAME": "Platform Team",
    "GIT_COMMITTER_EMAIL": "platform@example.com",
}
# What hosting services allow: shallow and partial clones, and pushes over HTTP.
_REPOSITORY_SETTINGS = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository on this machine and the URL under which it is served."""

    path: Path
    url: str

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a git command in the repository and return what it printed, stripped."""
        return run_git("--git-dir", str(self.path), *arguments, environment=environment)

    def head(self) -> str:
        """Return the commit that the branch points to."""
        return self.git("rev-parse", f"refs/heads/{BRANCH}")

    def read(self, path: str) -> str:
        """Return the content of a file at the branch's head."""
        return self.git("show", f"{BRANCH}:{path}")

    def commit(self, folder: Path, message: str) -> str:
        """Commit the content of a folder, as it is, to the branch; return the commit."""
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            work_tree = ("-C", str(folder), "--git-dir", str(self.path.resolve()), "--work-tree", ".")
            run_git(*work_tree, "add", "--all", "--force", ".", environment=index)
            tree = self.git("write-tree", environment=index)
        known = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")
        parents = ["-p", known] if known else []
        commit = self.git("commit-tree", tree, *parents, "-m", message)
        self.git("update-ref", f"refs/heads/{BRANCH}", commit)
        return commit

    def reject_pushes(self, message: str) -> None:
        """Make the server refuse every push with a message, as a protected branch does."""
        hook = self.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ncat >/dev/null\ncat >&2 <<'END'\n{message}\nEND\nexit 1\n")
        hook.chmod(0o755)

    def hide_shallow(self) -> None:
        """Make the server one that knows nothing of shallow clones."""
        (self.path / WITHOUT_SHALLOW).touch()

    def accept_pushes(self) -> None:
        """Undo `reject_pushes`."""
        (self.path / "hooks" / "pre-receive").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class GitServer:
    """A server for the repositories in one folder, and who may push to them."""

    port: int
    root: Path
    username: str
    password: str
    private: bool = False
    """Whether reading needs the password too; pushing always does."""

    def repository(self, name: str) -> Repository:
        """Return a repository by name, whether it exists or not."""
        return Repository(self.root / f"{name}.git", f"http://127.0.0.1:{self.port}/{name}.git")

    def create(self, name: str, *, content: Path | None = None, message: str = "Begin") -> Repository:
        """Create a repository, with the content of a folder as its first commit if one is given."""
        repository = self.repository(name)
        run_git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(repository.path))
        for setting, value in _REPOSITORY_SETTINGS.items():
            repository.git("config", setting, value)
        if content is not None:
            repository.commit(content, message)
        return repository

    def with_password(self, url: str) -> str:
        """Return a URL of this server with the credentials in it, for tests that push by hand."""
        return url.replace("://", f"://{self.username}:{self.password}@", 1)

    def answers(self) -> bool:
        """Say whether the server is ready and knows its own password."""
        url = f"http://127.0.0.1:{self.port}/"
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.auth = (self.username, self.password)
                return session.get(url, timeout=5).status_code == HTTPStatus.NO_CONTENT
        except requests.RequestException:
            return False


def start(server: GitServer, *, log: Path, lifetime_s: int) -> detached.Detached:
    """Start a git server that ends after `lifetime_s` seconds."""
    server.root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.support.git_server", str(server.port), str(server.root.resolve())]
    if server.private:
        command.append("--private")
    environment = {
        USERNAME_VARIABLE: server.username,
        PASSWORD_VARIABLE: server.password,
        "PYTHONPATH": str(CHECKOUT),
    }
    process = detached.start(command, log=log, lifetime_s=lifetime_s, environment=environment)
    detached.wait_until_ready("the git server", server.answers, process=process, log=log)
    return process


@contextmanager
def running_git_server(folder: Path, *, private: bool = False) -> Iterator[GitServer]:
    """Run a git server for as long as the `with` block lasts."""
    server = GitServer(free_port(), folder / "repositories", "pipeline", secrets.token_urlsafe(18), private)
    process = start(server, log=folder / "git-server.log", lifetime_s=DEFAULT_LIFETIME_S)
    try:
        yield server
    finally:
        process.stop()


def run_git(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run git without the user's own configuration and return what it printed, stripped."""
    done = subprocess.run(
        ["git", *arguments],
        env={**os.environ, **_GIT_ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(
            f"git {' '.join(arguments)} failed: {done.stderr.strip()}", advice="read git's message"
        )
    return done.stdout.strip()


class _Handler(BaseHTTPRequestHandler):
    """Checks the password and hands the request to git's own CGI program."""

    protocol_version = "HTTP/1.1"
    root: Path
    expected: tuple[str, ...]
    private: bool

    def do_GET(self) -> None:
        if not self._allowed():
            self._refuse()
        elif self.path == "/":
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        else:
            self._run_backend()

    do_POST = do_GET  # noqa: N815 - the name that http.server looks up

    def _allowed(self) -> bool:
        pushes = "git-receive-pack" in self.path
        return self._authenticated() or not (pushes or self.private or self.path == "/")

    def _authenticated(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return any(hmac.compare_digest(given, expected.encode()) for expected in self.expected)

    def _refuse(self) -> None:
        self.close_connection = True  # the body of the request was not read
        self.send_response(HTTPStatus.UNAUTHORIZED)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _run_backend(self) -> None:
        self.close_connection = True  # the end of the answer is the end of the connection
        with tempfile.TemporaryFile() as body:
            self._read_body(body)
            body.seek(0)
            command = ["git", "http-backend"]
            environment = self._environment()
            with subprocess.Popen(command, stdin=body, stdout=subprocess.PIPE, env=environment) as backend:
                assert backend.stdout is not None
                self._answer(self._advertised(backend.stdout))

    def _advertised(self, output: IO[bytes]) -> IO[bytes]:
        """Return the answer, without the capability that the repository hides; all lengths stay."""
        repository = self.path.lstrip("/").partition(".git/")[0] + ".git"
        if "/info/refs" not in self.path or not (self.root / repository / WITHOUT_SHALLOW).exists():
            return output
        return io.BytesIO(
            output.read().replace(b" shallow ", b" sh-llow ").replace(b"=shallow ", b"=sh-llow ")
        )

    def _environment(self) -> dict[str, str]:
        target = urlsplit(self.path)
        environment = {
            **os.environ,
            **_GIT_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(target.path),
            "QUERY_STRING": target.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        # git takes the presence of a user as leave to push.
        return environment | ({"REMOTE_USER": "pusher"} if self._authenticated() else {})

    def _read_body(self, body: IO[bytes]) -> None:
        """Copy the request's body, which git sends in chunks when a push is large."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            body.write(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body.write(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, output: IO[bytes]) -> None:
        """Translate the CGI program's header lines, then pass its body on."""
        status, headers = HTTPStatus.OK.value, []
        while line := output.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value.strip()))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        shutil.copyfileobj(output, self.wfile)


def _serve(port: int, root: Path, username: str, password: str, *, private: bool) -> None:
    logins = (f"{user}:{password}".encode() for user in (username, *TOKEN_USERS))
    expected = tuple(f"Basic {base64.b64encode(login).decode()}" for login in logins)
    handler = type("Handler", (_Handler,), {"root": root, "expected": expected, "private": private})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.serve_forever()


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.git_server", description="Serve git over HTTP."
    )
    parser.add_argument("port", type=int)
    parser.add_argument("root", type=Path, help="folder with the bare repositories")
    parser.add_argument("--private", action="store_true", help="ask for the password when reading too")
    options = parser.parse_args()
    username, password = os.environ.pop(USERNAME_VARIABLE), os.environ.pop(PASSWORD_VARIABLE)
    _serve(options.port, options.root, username, password, private=options.private)


if __name__ == "__main__":
    _main()
