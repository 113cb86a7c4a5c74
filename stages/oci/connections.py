"""Connections as uploads need them: patient while bytes go out, strict about what comes back.

Imported where a session is made: requests is heavy.
"""

import http.client
import io
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager


class _WholeLines(io.BufferedReader):
    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        limited = size is not None and 0 <= size <= len(line)
        if not line.endswith(b"\n") and not limited:
            raise http.client.RemoteDisconnected("the answer broke off")
        return line


class _Response(http.client.HTTPResponse):
    """An answer with all of its headers.

    http.client takes the end of a connection for the end of the headers: half a Location would pass for the
    place of an upload, half a Range for its length.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # as http.client calls it
        super().__init__(*arguments, **options)
        self.fp: io.BufferedReader = _WholeLines(self.fp.detach())


class _Connection(HTTPConnection):
    """A connection that may be silent for a while, once it is there.

    urllib3 waits for the peer to take bytes only as long as for a connection. A registry takes none while it
    moves what it has to its own store.
    """

    response_class = _Response
    silence_s: float

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.silence_s)

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.silence_s)
        super().putrequest(*arguments, **options)


class _EncryptedConnection(_Connection, HTTPSConnection):
    pass


class Adapter(HTTPAdapter):
    """Sends a session's requests over such connections, also through a proxy."""

    def __init__(self, *, silence_s: float, connections: int) -> None:
        options = {"silence_s": silence_s}
        plain = type("Connection", (_Connection,), options)
        encrypted = type("EncryptedConnection", (_EncryptedConnection,), options)
        self._pools = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("EncryptedPool", (HTTPSConnectionPool,), {"ConnectionCls": encrypted}),
        }
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*arguments, **options)
        self._use_pools(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(*arguments, **options)
        self._use_pools(manager)
        return manager

    def _use_pools(self, manager: PoolManager) -> None:
        manager.pool_classes_by_scheme = self._pools
