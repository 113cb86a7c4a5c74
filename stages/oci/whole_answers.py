"""Connections that believe no headers but whole ones.

Python's http.client takes the end of a connection for the end of the headers: half a Location would pass for
the place of an upload, half a Range for its length. Imported where a session is made: requests is heavy.
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
    def __init__(self, *arguments: Any, **options: Any) -> None:  # as http.client calls it
        super().__init__(*arguments, **options)
        self.fp: io.BufferedReader = _WholeLines(self.fp.detach())


class _Connection(HTTPConnection):
    response_class = _Response


class _EncryptedConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _EncryptedConnection


class Adapter(HTTPAdapter):
    """Sends a session's requests over such connections, also through a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*arguments, **options)
        _use(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(*arguments, **options)
        _use(manager)
        return manager


def _use(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _EncryptedPool}
