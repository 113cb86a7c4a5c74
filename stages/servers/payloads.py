"""What is sent, and what is expected to come back, from the user's files.

A JSON file is one request, a file of JSON lines (.jsonl, .ndjson) one a line, any other file a body as it is.
"""

import json
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.model import Check, Problem
from stages.servers.checks import missing
from stages.servers.interface import Payload

GOLDEN = ".expected"
JSON = "application/json"
JSON_LINES = frozenset({".jsonl", ".ndjson"})
BYTES = "application/octet-stream"
MEND = "Mend `benchmark.request`, or leave it out and have a request made from the model's metadata."


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFile:
    """A file with requests, and how often they are sent among those of other files."""

    path: Path
    weight: float = 1.0
    """Of the whole file, whatever the number of its requests."""
    expect: Path | None = None
    """A file with the expected answer; None looks for one beside the request."""


Requests = Path | tuple[RequestFile, ...] | None


def read_payloads(request: Requests, expect: Path | None) -> tuple[Payload, ...]:
    """Return the requests with the answers that are expected; nothing where the protocol makes the request.

    Raises:
        ConfigurationError: a file cannot be read, or does not hold what its name says.
    """
    return tuple(payload for file in _files(request, expect) for payload in _payloads(file))


def check_request(
    request: Requests, expect: Path | None, unfit: Callable[[Sequence[Payload]], str] = lambda _: ""
) -> Check:
    """Tell whether the files with requests and expected answers are there and hold what their names say.

    `unfit` returns why the protocol could not send them.
    """
    subject = "inference request"
    try:
        payloads = read_payloads(request, expect)
    except ConfigurationError as error:
        return missing(subject, Problem.CONFIGURATION, error.message, error.advice)
    if said := unfit(payloads):
        advice = "Mend `benchmark.request` or `benchmark.options` (docs/servers.md)."
        return missing(subject, Problem.CONFIGURATION, said, advice)
    if not payloads:
        return Check(subject=subject, found="made from the model's metadata")
    files = _files(request, expect)
    found = str(files[0].path) if len(files) == 1 else f"{len(files)} files"
    return Check(subject=subject, found=found if len(payloads) == 1 else f"{len(payloads)} of {found}")


def golden_beside(request: Path) -> Path | None:
    """Return the file with the expected answer, such as request.expected.json beside request.json."""
    names = (request.with_suffix(f"{GOLDEN}{request.suffix}"), request.with_suffix(f"{GOLDEN}.json"))
    return next((path for path in names if path.is_file()), None)


def _files(request: Requests, expect: Path | None) -> tuple[RequestFile, ...]:
    if isinstance(request, Path):
        return (RequestFile(path=request, expect=expect),)
    return request or ()


def _payloads(file: RequestFile) -> Iterator[Payload]:
    path, content = file.path, _content(file.path, MEND)
    golden = file.expect or golden_beside(path)
    if path.suffix in JSON_LINES:
        yield from _lines(file, golden)
        return
    if path.suffix == ".json":
        _check_json(content, path)
    expected = None if golden is None else _expected(golden)
    kind = mimetypes.guess_type(path.name)[0] or BYTES
    yield Payload(body=content, name=path.name, weight=file.weight, content_type=kind, expected=expected)


def _expected(golden: Path) -> bytes:
    advice = _mend_expected(golden)
    content = _content(golden, advice)
    if golden.suffix == ".json":
        _check_json(content, golden, advice=advice)
    return content


def _lines(file: RequestFile, golden: Path | None) -> Iterator[Payload]:
    """Yield one request a line; the expected answers stand in the same order."""
    path = file.path
    bodies = _json_lines(path, MEND)
    if not bodies:
        raise ConfigurationError(f"{path} holds no request", advice=MEND)
    answers: list[tuple[int, bytes]] = []
    if golden is not None:
        answers = _json_lines(golden, _mend_expected(golden))
        if len(answers) != len(bodies):
            raise ConfigurationError(
                f"{golden}: {len(answers)} answers, but {path.name} has {len(bodies)} requests",
                advice="Write the answer to each request on a line of its own, in the order of the requests.",
            )
    for index, (number, body) in enumerate(bodies):
        yield Payload(
            body=body,
            name=f"{path.name}:{number}",
            weight=file.weight / len(bodies),
            content_type=JSON,
            expected=answers[index][1] if answers else None,
        )


def _json_lines(path: Path, advice: str) -> list[tuple[int, bytes]]:
    """Return the number and content of every line that is not empty."""
    lines = [(number, line.strip()) for number, line in enumerate(_content(path, advice).split(b"\n"), 1)]
    found = [(number, line) for number, line in lines if line]
    for number, line in found:
        _check_json(line, path, number, advice)
    return found


def _content(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", advice=advice) from error


def _check_json(content: bytes, path: Path, first_line: int = 1, advice: str = MEND) -> None:
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        at = f"{path}:{first_line + error.lineno - 1}"
        problem = f"{at}: not valid JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        problem = f"{path} is nested too deeply"
    except UnicodeDecodeError as error:
        problem = f"{path} is not UTF-8: {error.reason} at byte {error.start}"
    else:
        return
    raise ConfigurationError(problem, advice=advice)


def _mend_expected(golden: Path) -> str:
    return (
        f"Mend the expected answer {golden.name} (`benchmark.expect`), or leave it out: then answers under "
        "load are compared with those of a server that was asked alone."
    )
