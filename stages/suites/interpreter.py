"""Which Python a test command runs under and what is installed there: asked of that Python itself."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.process import Command, run
from stages.suites.environment import UserEnvironment

ANSWER_S = 30.0
ELSEWHERE = frozenset(
    {"tox", "nox", "poetry", "pipenv", "hatch", "pdm", "rye", "uv", "uvx", "pixi", "conda", "mamba"}
)
"""Programs in Python, or beside one, that run the tests in environments of their own."""
_PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)?t?)?")
_QUESTION = """\
import sys
sys.path[:] = filter(None, sys.path)  # not what lies in the current folder
from importlib.metadata import distributions
print(sys.version.replace("\\n", " "), sys.executable, sys.prefix, *sys.path, sep="\\n")
print(*sorted({f"{found.name}=={found.version}" for found in distributions()}), sep="\\n")
"""


def describe_interpreter(command: Sequence[str], environment: UserEnvironment) -> tuple[str, ...] | None:
    """Return program, version, prefix, path and distributions of the Python that a command runs under.

    None where it runs under none, or where that cannot be told.
    """
    program = environment.find(command[0])
    if program is None or ELSEWHERE & {Path(word).name for word in command}:
        return None
    python = _python_of(program, environment)
    if python is None:
        return None
    question = Command(
        arguments=(str(python), "-c", _QUESTION),
        cwd=environment.root,
        environment=environment.changes,
        timeout_s=ANSWER_S,
    )
    try:
        outcome = run(question)
    except PipelineError:
        return None
    return (str(program), *outcome.stdout.splitlines()) if outcome.succeeded and outcome.stdout else None


def _python_of(program: Path, environment: UserEnvironment) -> Path | None:
    """Return the Python that runs a program: itself, in its first line, or beside a script of a shell.

    A launcher of pyenv is such a script: the `python` beside it chooses the version in the same way.
    """
    if _PYTHON.fullmatch(program.name):
        return program
    try:
        with program.open("rb") as stream:
            first, second = (os.fsdecode(stream.readline(4096)).strip() for _ in range(2))
    except OSError:
        return None
    if not first.startswith("#!"):
        return None
    named = _named(first) or _named_for_a_shell(second)
    beside = (str(program.parent / name) for name in ("python3", "python"))
    found = (environment.find(name) for name in ((named,) if named else beside))
    return next((path for path in found if path is not None), None)


def _named(line: str) -> str | None:
    """Return the Python of a line such as `#!/usr/bin/env python3`."""
    words = line.removeprefix("#!").split()
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words and _PYTHON.fullmatch(Path(words[0]).name) else None


def _named_for_a_shell(line: str) -> str | None:
    """Return the Python of the second line that pip writes where the first cannot hold a path."""
    if not line.startswith("'''exec'"):
        return None
    try:
        words = shlex.split(line.removeprefix("'''exec'"))
    except ValueError:
        return None
    return words[0] if words and _PYTHON.fullmatch(Path(words[0]).name) else None
