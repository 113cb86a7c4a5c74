"""Requests of the Open Inference Protocol: read from what a user wrote, or made from what a model expects."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from stages.servers.expectations import USUAL, Tolerance, difference
from stages.servers.http_client import object_in, objects_in
from stages.servers.interface import Payload
from stages.servers.tensors import Tensor, flat, tensor_of

GENERATED_ID = "benchmark"  # some servers answer 500 to a request without one
MOST_ELEMENTS = 10_000_000


def request_from(metadata: Mapping[str, Any]) -> bytes:
    """Return an inference request of zeros that fits a model's metadata; a free dimension becomes 1.

    Raises:
        ValueError: the metadata does not describe the inputs.
    """
    tensors = objects_in(metadata.get("inputs"))
    if not tensors:
        raise ValueError("it names no inputs")
    try:
        inputs = [_zeros(str(one["name"]), str(one["datatype"]), one["shape"]) for one in tensors]
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"an input has no usable name, datatype or shape ({error})") from error
    return json.dumps({"id": GENERATED_ID, "inputs": inputs}).encode()


def inputs_of(payload: Payload) -> tuple[Tensor, ...]:
    """Return the inputs of a request that is written as JSON.

    Raises:
        ValueError: an input lacks something, or its data do not fit.
    """
    inputs = objects_in(object_in(payload.body).get("inputs"))
    if not inputs:
        raise ValueError(f"{payload.name or 'the request'} has no `inputs`")
    try:
        return tuple(tensor_of(one["name"], one["datatype"], one["shape"], one["data"]) for one in inputs)
    except KeyError as error:
        raise ValueError(f"{payload.name or 'the request'}: an input has no {error}") from error


def problem_of(options: Mapping[str, str], payloads: Sequence[Payload]) -> str:
    """Return why what the user gave cannot be made into tensors; nothing where it can."""
    del options
    try:
        for payload in payloads:
            inputs_of(payload)
    except ValueError as error:
        return str(error)
    return ""


def outputs_differ(expected: object, answer: object, tolerance: Tolerance = USUAL) -> str:
    """Return how the outputs of an answer differ from the expected ones, which are matched by their names.

    Outputs that nobody expects make no difference.
    """
    wanted, found = _by_name(expected), _by_name(answer)
    if not wanted:
        return "the expected answer has no `outputs`"
    return difference(wanted, found, tolerance, at="outputs")


def _by_name(outputs: object) -> dict[str, object]:
    """Return the data of each output as one flat list: servers nest them or not."""
    return {str(one.get("name")): [*flat(one.get("data"))] for one in objects_in(outputs)}


def _zeros(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    fixed = [max(1, int(size)) for size in shape]
    if math.prod(fixed) > MOST_ELEMENTS:
        raise ValueError(f"{name} has more than {MOST_ELEMENTS:,} elements, too many for a request of zeros")
    zero: object = {"BYTES": "", "BOOL": False}.get(datatype, 0.0 if datatype.startswith(("FP", "BF")) else 0)
    return {"name": name, "datatype": datatype, "shape": fixed, "data": [zero] * math.prod(fixed)}
