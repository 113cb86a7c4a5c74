"""The one answer of GitHub's API that a GitHub App needs: a token for a request that its key has signed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


@dataclass(slots=True)
class TokenApi:
    """The server, and what it was asked for."""

    url: str
    asked: list[object] = field(default_factory=list)


@contextmanager
def running_token_api(key: RSAPublicKey, *, token: str, installation: int) -> Iterator[TokenApi]:
    """Hand the token to whoever signs with the key that belongs to this one, for one installation."""
    path = f"/app/installations/{installation}/access_tokens"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            try:
                signed = self.headers.get("Authorization", "").removeprefix("Bearer ")
                jwt.decode(signed, key, algorithms=["RS256"], options={"require": ["iss", "exp", "iat"]})
            except jwt.InvalidTokenError:
                return self._answer(HTTPStatus.UNAUTHORIZED, {"message": "Bad credentials"})
            if self.path != path:
                return self._answer(HTTPStatus.NOT_FOUND, {"message": "Not Found"})
            api.asked.append(body)
            made = {"token": token, "expires_at": "2099-01-01T00:00:00Z", "permissions": body["permissions"]}
            return self._answer(HTTPStatus.CREATED, made)

        def _answer(self, status: HTTPStatus, content: object) -> None:
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = TokenApi(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
