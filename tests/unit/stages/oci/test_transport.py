from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.authentication import Credentials
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Request, Timeouts
from stages.oci.transport import Purpose, Transport
from tests.support.loopback import Received, Reply, json_reply, serving
from tests.support.registry import free_port

PASSWORD = "correct horse"
USER = Credentials(username="ci", secret=PASSWORD, origin="a test")
PURPOSE = Purpose(
    doing="read", repository="team/model", scopes=frozenset({"repository:team/model:pull"}), expect=(200,)
)

Connect = Callable[..., Transport]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open transports that are closed when the test ends."""
    opened: list[Transport] = []

    def connect(host: str, credentials: Credentials | None = USER, **options: frozenset[str]) -> Transport:
        endpoint = Endpoint(host=host, api_host=host, **options)
        opened.append(Transport(endpoint, lambda: credentials, lambda _: None))
        return opened[-1]

    yield connect
    for transport in opened:
        transport.close()


def basic(request: Received) -> Reply | None:
    """Ask for a login where there is none, and let in who brings one."""
    if "Authorization" not in request.headers:
        return Reply(401, {"WWW-Authenticate": 'Basic realm="test"'})
    return Reply(200, {}, b"hello")


def get(path: str) -> Request:
    return Request(method="GET", url=path)


def test_basic_credentials_go_with_every_request_after_the_first(connect: Connect) -> None:
    with serving(basic) as server:
        answer = connect(server.address).send(get("/v2/team/model/blobs/x"), PURPOSE)
    assert answer.content == b"hello"
    assert ["Authorization" in request.headers for request in server.received] == [False, True]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_does_not_get_our_authorization(connect: Connect, status: int) -> None:
    with serving(lambda _: Reply(200, {}, b"from storage")) as storage:

        def answer(request: Received) -> Reply | None:
            reply = basic(request)
            if request.path == "/v2/" or (reply is not None and reply.status == 401):
                return reply
            return Reply(status, {"Location": f"{storage.url}/bucket?signature=secret"})

        with serving(answer) as server:
            found = connect(server.address).send(get("/v2/team/model/blobs/x"), PURPOSE)
    assert found.content == b"from storage"
    assert [request.headers.get("Authorization") for request in storage.received] == [None]


def test_a_redirect_within_the_registry_keeps_our_authorization(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        if request.path == "/v2/old":
            return Reply(307, {"Location": "/v2/new"})
        return basic(request)

    with serving(answer) as server:
        connect(server.address).send(get("/v2/old"), PURPOSE)
    assert [request.path for request in server.received if "Authorization" in request.headers] == [
        "/v2/old",
        "/v2/new",
    ]


def test_a_put_is_sent_again_where_a_307_says_and_not_where_a_302_says(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        if request.path in {"/307", "/302"}:
            return Reply(int(request.path[1:]), {"Location": "/there"})
        return Reply(200)

    with serving(answer) as server:
        transport = connect(server.address)
        transport.send(Request(method="PUT", url="/307", body=b"content"), PURPOSE)
        assert [request.body for request in server.received if request.path == "/there"] == [b"content"]
        with pytest.raises(RemoteError, match="302"):
            transport.send(Request(method="PUT", url="/302", body=b"content"), PURPOSE)


def test_a_circle_of_redirects_ends(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        return Reply(200) if request.path == "/v2/" else Reply(307, {"Location": request.path})

    with serving(answer) as server, pytest.raises(RemoteError, match="redirects"):
        connect(server.address).send(get("/around"), PURPOSE)


def test_nothing_follows_a_redirect_out_of_encryption(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        if request.path == "/v2/":
            return Reply(200)
        return Reply(307, {"Location": "http://storage.example.com/bucket?signature=secret"})

    with serving(answer) as server, pytest.raises(RemoteError, match="not encrypted") as caught:
        connect(server.address).send(get("/v2/x"), PURPOSE)
    assert "signature" not in caught.value.message


def test_a_password_of_the_users_netrc_is_never_sent(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(lambda _: Reply(200)) as server:
        connect(server.address, None).send(get("/v2/x"), PURPOSE)
    assert all("Authorization" not in request.headers for request in server.received)


def test_a_proxy_is_not_asked_for_loopback(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with serving(lambda _: Reply(200)) as server:
        assert connect(server.address).send(get("/v2/x"), PURPOSE).status == 200


def test_cookies_are_not_kept(connect: Connect) -> None:
    with serving(lambda _: Reply(200, {"Set-Cookie": "session=1"})) as server:
        transport = connect(server.address)
        transport.send(get("/v2/x"), PURPOSE)
        transport.send(get("/v2/x"), PURPOSE)
    assert all("Cookie" not in request.headers for request in server.received)


def test_nobody_there_is_temporary_and_shows_no_query(connect: Connect) -> None:
    with pytest.raises(TemporaryRemoteError, match="Connection refused") as caught:
        connect(f"127.0.0.1:{free_port()}").send(get("/v2/x?_state=secret"), PURPOSE)
    assert "secret" not in caught.value.message


def test_a_connection_that_is_cut_is_temporary(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        return Reply(200, cut=request.path != "/v2/")

    with (
        serving(answer) as server,
        pytest.raises(TemporaryRemoteError, match="broke the connection") as caught,
    ):
        connect(server.address).send(get("/v2/x?_state=secret"), PURPOSE)
    assert "secret" not in caught.value.message


def test_a_registry_that_is_down_for_the_moment_is_temporary(connect: Connect) -> None:
    with serving(lambda _: Reply(503)) as server, pytest.raises(TemporaryRemoteError, match="503"):
        connect(server.address).send(get("/v2/x"), PURPOSE)


def test_a_server_that_is_no_registry_is_told_apart(connect: Connect) -> None:
    with serving(lambda _: Reply(404)) as server, pytest.raises(RemoteError, match="404 Not Found to /v2/"):
        connect(server.address).send(get("/v2/x"), PURPOSE)


def test_an_endless_answer_is_not_read_into_memory(connect: Connect) -> None:
    def answer(request: Received) -> Reply | None:
        return Reply(200) if request.path == "/v2/" else Reply(200, {}, bytes(17 << 20))

    with serving(answer) as server, pytest.raises(RemoteError, match="16 MiB"):
        connect(server.address).send(get("/v2/x"), PURPOSE)


@pytest.mark.parametrize(
    ("host", "insecure", "schemes"),
    [
        ("registry.example.com", frozenset(), ("https",)),
        ("registry.example.com:5000", frozenset({"registry.example.com:5000"}), ("http", "https")),
        ("registry.example.com:5000", frozenset({"registry.example.com"}), ("https",)),
        ("localhost:5000", frozenset(), ("http", "https")),
        ("127.8.9.10", frozenset(), ("http", "https")),
        ("[::1]:5000", frozenset(), ("http", "https")),
        ("localhost.example.com", frozenset(), ("https",)),
        ("10.0.0.1:5000", frozenset(), ("https",)),
    ],
)
def test_tls_is_left_out_for_loopback_and_where_the_configuration_says_so(
    host: str, insecure: frozenset[str], schemes: tuple[str, ...]
) -> None:
    assert Endpoint(host=host, api_host=host, insecure=insecure).schemes == schemes


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A registry behind TLS, with a certificate that only its own authority vouches for."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust us hangs up."""

    server = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=lambda: server.serve_forever(0.02), daemon=True)
    thread.start()
    yield f"localhost:{server.server_port}", certificate
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_unknown_certificate_is_refused_even_on_loopback(
    connect: Connect, tls_server: tuple[str, Path]
) -> None:
    with pytest.raises(RemoteError, match="certificate verify failed"):
        connect(tls_server[0], None).send(get("/v2/x"), PURPOSE)


def test_an_own_authority_is_trusted_through_the_environment(
    connect: Connect, tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server[1]))
    assert connect(tls_server[0], None).send(get("/v2/x"), PURPOSE).url.startswith("https://")


class BusyServer:
    """Answers `/v2/`; of the next request it reads nothing for a while, and then all of it."""

    def __init__(self, busy_s: float) -> None:
        self._busy_s = busy_s
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        with self._socket, client, client.makefile("rb") as stream:
            for busy_s in (0.0, self._busy_s):
                length = 0
                while (line := stream.readline()).strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                time.sleep(busy_s)
                stream.read(length)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_registry_may_be_busy_for_longer_than_it_takes_to_connect() -> None:
    server = BusyServer(busy_s=1.0)
    timeouts = Timeouts(connect_s=0.3, read_s=20)
    transport = Transport(
        Endpoint(host=server.address, api_host=server.address),
        lambda: None,
        lambda _: None,
        timeouts=timeouts,
    )
    put = Request(method="PUT", url="/v2/x", body=bytes(24 << 20))
    assert transport.send(put, PURPOSE).status == 200
    transport.close()


def test_a_registry_that_takes_no_byte_any_more_is_temporary() -> None:
    server = BusyServer(busy_s=3.0)
    timeouts = Timeouts(connect_s=20, read_s=0.3)
    transport = Transport(
        Endpoint(host=server.address, api_host=server.address),
        lambda: None,
        lambda _: None,
        timeouts=timeouts,
    )
    with pytest.raises(TemporaryRemoteError, match="timed out"):
        transport.send(Request(method="PUT", url="/v2/x", body=bytes(24 << 20)), PURPOSE)
    transport.close()


def test_json_that_is_no_object_is_empty(connect: Connect) -> None:
    with serving(lambda _: json_reply(200, [1])) as server:
        assert connect(server.address).send(get("/v2/x"), PURPOSE).json() == {}
