"""What the protocols over HTTP share: where they ask, and whose fault it is that nothing came."""

import asyncio
import errno

import pytest
from aiohttp import web

from stages.servers.http_client import ask, named, session_to, unsent
from stages.servers.interface import LACKING, Target


def test_a_server_at_an_address_of_version_6_is_asked() -> None:
    async def well(_: web.Request) -> web.Response:
        return web.Response(text="well")

    async def play() -> tuple[int, bytes]:
        application = web.Application()
        application.router.add_get("/", well)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "::1", 0).start()
        try:
            async with session_to(Target(host="::1", port=runner.addresses[0][1])) as session:
                return await ask(session, "GET", "/")
        finally:
            await runner.cleanup()

    assert asyncio.run(play()) == (200, b"well")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EMFILE, LACKING), (errno.EADDRNOTAVAIL, LACKING), (errno.ECONNREFUSED, "connection")],
)
def test_what_this_machine_lacks_is_no_error_of_the_server(number: int, kind: str) -> None:
    assert unsent(OSError(number, "no")).kind == kind


def test_of_many_names_the_first_ones_are_told() -> None:
    assert named(["b", "a"]) == "a, b"
    assert named(str(number) for number in range(100, 1000)).endswith(", 119 and 880 others")
