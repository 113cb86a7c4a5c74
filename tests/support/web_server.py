"""A small web server of a test's own, and a scene with a client of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import uvloop
from aiohttp import web

from stages.servers.interface import ModelServer, ServerProtocol, Target

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def talk(
    protocol: ServerProtocol,
    routes: dict[str, Handler],
    scene: Callable[[ModelServer], Awaitable[T]],
    **wanted: Any,
) -> T:
    """Serve what the routes (`POST /path`) say, and return what the scene with it gives.

    `wanted` are further fields of the target.
    """

    async def play() -> T:
        application = web.Application()
        for route, handler in routes.items():
            method, path = route.split()
            application.router.add_route(method, path, handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        target = Target(port=runner.addresses[0][1], image="digits", **wanted)
        try:
            async with protocol.connect(target) as server:
                return await scene(server)
        finally:
            await runner.cleanup()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play())
