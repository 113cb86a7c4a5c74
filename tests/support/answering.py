"""Servers under load whose behaviour is known: what a load engine says of them must be true."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stages.servers.interface import Answer, Payload

Infer = Callable[[Payload], Awaitable[Answer]]


@dataclass(slots=True)
class Answering:
    """A model server of one function: no network between it and the load."""

    answer: Infer
    payloads: tuple[Payload, ...] = (Payload(body=b"{}"),)
    model: str | None = "known"

    async def unlive(self) -> str:
        """Say that it is live."""
        return ""

    async def unready(self) -> str:
        """Say that it is ready."""
        return ""

    async def advise(self) -> str:
        """Have no advice."""
        return ""

    async def prepare(self) -> None:
        """Need no preparation."""

    async def infer(self, payload: Payload) -> Answer:
        """Answer as the function says."""
        return await self.answer(payload)

    def same(self, expected: bytes, answer: bytes) -> str:
        """Compare byte by byte."""
        return "" if expected == answer else f"{answer!r} is not {expected!r}"
