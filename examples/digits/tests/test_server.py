"""The running server: right answers over HTTP, and the client's mistakes answered as such."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from client import REQUEST_FILE, infer
from train import Split


def body(**changes: object) -> bytes:
    """Return the benchmark's request with its input tensor changed."""
    request: dict[str, Any] = json.loads(REQUEST_FILE.read_bytes())
    request["inputs"][0] |= changes
    return json.dumps(request).encode()


def test_the_benchmarks_request_is_answered_with_its_class(server: str) -> None:
    assert infer(server, REQUEST_FILE.read_bytes())["class"] == [7]


def test_a_batch_is_answered_in_order(server: str, split: Split) -> None:
    pixels, labels = split.held_out_pixels[:50], split.held_out_labels[:50]
    outputs = infer(server, body(shape=[50, 64], data=pixels.ravel().tolist()))
    assert len(outputs["probabilities"]) == 50 * 10
    assert (np.array(outputs["class"]) == labels).mean() >= 0.9


def test_the_metadata_names_the_tensors(server: str) -> None:
    with urlopen(f"{server}/v2/models/digits", timeout=10) as response:
        metadata = json.load(response)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["pixels"]
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["class", "probabilities"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"shape": [1, 63], "data": [0.0] * 63}, id="too few pixels"),
        pytest.param({"shape": [64]}, id="no batch dimension"),
        pytest.param({"shape": [-1, 64]}, id="negative batch size"),
        pytest.param({"shape": [2, 64]}, id="less data than the shape says"),
        pytest.param({"data": [0.0] * 65}, id="more data than the shape says"),
        pytest.param({"data": ["seven"] * 64}, id="text"),
        pytest.param({"data": [1e39] * 64}, id="too large for float32"),
        pytest.param({"data": [[1.0, 2.0], [3.0]]}, id="ragged rows"),
        pytest.param({"datatype": "FP64"}, id="another datatype"),
    ],
)
def test_a_wrong_tensor_is_the_clients_error(server: str, changes: dict[str, object]) -> None:
    request = Request(
        f"{server}/v2/models/digits/infer", body(**changes), {"Content-Type": "application/json"}
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.status == 400
        assert json.load(answer)["error"].startswith(("expected", "the data"))
