"""Questions to programs whose answers hold for as long as we run; several stages ask, once is enough."""

import os
import threading

from pipeline.process import Command, Outcome, run

_Key = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
_ANSWERS: dict[_Key, Outcome] = {}
_LOCKS: dict[_Key, threading.Lock] = {}


def ask(command: Command) -> Outcome:
    """Run a command that only asks; a good answer is remembered for the same question and environment.

    Raises:
        ToolMissing: there is no such program.
    """
    key = (command.arguments, tuple(sorted(os.environ.items())))
    with _LOCKS.setdefault(key, threading.Lock()):  # who asks at the same time waits for the same answer
        known = _ANSWERS.get(key)
        if known is not None:
            return known
        outcome = run(command)
        if outcome.succeeded:
            _ANSWERS[key] = outcome
        return outcome
