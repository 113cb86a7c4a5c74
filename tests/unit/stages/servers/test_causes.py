"""A server that did not start: the advice is of what can be seen of it."""

from collections.abc import Sequence

import pytest

from stages.servers.causes import closed_port, ended, with_weights
from stages.servers.ports import Listener


@pytest.mark.parametrize(
    ("seen", "exposed", "words"),
    [
        (None, [8080], "must listen on 0.0.0.0:8080"),
        (None, [8000, 8080, 9000], "The image says EXPOSE 8000 and 9000"),
        ([], [8000], "Nothing in the container listens"),
        ([Listener(8080, True), Listener(9000, False)], [], "listens on 127.0.0.1:8080"),
        ([Listener(8080, False), Listener(8080, True)], [], "hangs up"),
        ([Listener(8000, False), Listener(8000, True), Listener(8001, False)], [], "at 8000 and 8001: set"),
    ],
)
def test_a_closed_port(seen: Sequence[Listener] | None, exposed: Sequence[int], words: str) -> None:
    assert words in closed_port(8080, seen, exposed)


@pytest.mark.parametrize(("code", "words"), [(0, "foreground"), (127, "not in the image"), (1, "docker run")])
def test_an_end(code: int, words: str) -> None:
    assert words in ended(code)


@pytest.mark.parametrize(
    ("log", "mounted", "told"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: '/models/digits/model.onnx'", False, True),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/models/digits/model.onnx'", True, False),
        ("out of luck", False, False),
    ],
)
def test_weights_that_nobody_mounted(log: str, mounted: bool, told: bool) -> None:
    advice = with_weights("Try it.", log, mounted=mounted)
    assert ("model: {source: model/}" in advice) is told
    assert advice.endswith("Try it.")
