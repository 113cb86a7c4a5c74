"""What to do about a server that did not start, by what can be seen of it."""

import re
from collections.abc import Sequence

from stages.servers.ports import Listener

LONGER = (
    "If the server only needs longer, raise `benchmark.readiness_timeout_s`. With too little memory a server "
    "may neither start nor die: see `benchmark.memory_limit`."
)
NO_WEIGHTS = "No `model:` is configured, so no weights were mounted; for example `model: {source: model/}`."
_BY_EXIT_CODE = {
    0: "Its command ended without an error: it must keep the server in the foreground.",
    126: "Its command cannot be executed: see CMD and ENTRYPOINT, and the file's mode.",
    127: "Its command is not in the image: see CMD and ENTRYPOINT.",
}
_MISSING_FILE = re.compile(
    r"no such file|FileNotFound|cannot find|could not find|can't find|not found|does not exist|"
    r"doesn't exist|cannot open|failed to open|unable to open",
    re.IGNORECASE,
)


def closed_port(port: int, seen: Sequence[Listener] | None, exposed: Sequence[int]) -> str:
    """Return what to do when nothing answers at the port; `seen` is None where the container hides it."""
    if seen is None:
        others = [each for each in exposed if each != port]
        hint = f"The image says EXPOSE {_words(others)}: is `benchmark.port` right? " if others else ""
        return f"{hint}The server must listen on 0.0.0.0:{port}, not on 127.0.0.1. {LONGER}"
    if not seen:
        return f"Nothing in the container listens at any port. {LONGER}"
    here = [each for each in seen if each.port == port]
    if here and all(each.loopback for each in here):
        return (
            f"Inside the container it listens on 127.0.0.1:{port}, which nobody outside reaches: let it "
            "listen on 0.0.0.0."
        )
    if here:
        return f"It listens at {port}, but hangs up on everybody at once. {LONGER}"
    ports = sorted({each.port for each in seen})
    return f"Inside the container it listens at {_words(ports)}: set `benchmark.port` to the one for HTTP."


def ended(exit_code: int) -> str:
    """Return what to do about a server that ended by itself."""
    known = _BY_EXIT_CODE.get(exit_code)
    return known or "Try the image by `docker run`: does it find its files, may its user read them?"


def with_weights(advice: str, log: str, *, mounted: bool) -> str:
    """Return the advice, and before it that there were no weights when the server's log misses a file."""
    return advice if mounted or not _MISSING_FILE.search(log) else f"{NO_WEIGHTS} {advice}".strip()


def _words(ports: Sequence[int]) -> str:
    return " and ".join(str(port) for port in ports)
