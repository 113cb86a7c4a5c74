"""Shows the steps of a set-up: one line each with its time, and a sign of life while a step takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from rich.console import Console

QUIET_S = 2.0
TICK_S = 10.0
NAME_WIDTH = 24


@dataclass(slots=True)
class Step:
    """A step while it runs; whoever runs it says how it went."""

    detail: str = ""
    reused: bool = False


class Steps:
    """Prints steps to a console, with a spinner on a terminal and lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step for as long as the `with` block lasts."""
        started, step = time.monotonic(), Step()
        with self._alive(name):
            try:
                yield step
            except BaseException:
                self._print("[red]failed[/]", name, "", time.monotonic() - started)
                raise
        mark = "[cyan]reused[/]" if step.reused else "[green]  done[/]"
        self._print(mark, name, step.detail, time.monotonic() - started)

    def elapsed_s(self) -> float:
        """Return the seconds since the first step could begin."""
        return time.monotonic() - self._started

    def _print(self, mark: str, name: str, detail: str, duration_s: float) -> None:
        self._console.print(
            f"{mark} {duration_s:6.1f} s  {name:{NAME_WIDTH}} {detail}", highlight=False, soft_wrap=True
        )

    def _alive(self, name: str) -> AbstractContextManager[object]:
        if self._console.is_terminal:
            return self._console.status(f"{name} …")
        return self._ticking(name)

    @contextmanager
    def _ticking(self, name: str) -> Iterator[None]:
        """Print a line after two seconds and then every ten, until the block ends."""
        done = threading.Event()

        def tick() -> None:
            started, pause_s = time.monotonic(), QUIET_S
            while not done.wait(pause_s):
                elapsed_s = time.monotonic() - started
                self._console.print(f"   ... {elapsed_s:6.0f} s  {name}")
                pause_s = TICK_S

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
