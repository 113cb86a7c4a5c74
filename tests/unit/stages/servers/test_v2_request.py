"""Outputs are compared by their names, whatever their order and nesting."""

from stages.servers.v2_request import outputs_differ

EXPECTED = [{"name": "label", "data": ["python"]}]
SCORE = {"name": "score", "datatype": "FP32", "shape": [1, 1], "data": [0.99]}


def test_outputs_beside_the_expected_ones_make_no_difference() -> None:
    assert outputs_differ(EXPECTED, [SCORE, {"name": "label", "data": [["python"]]}]) == ""


def test_a_missing_output_and_another_value_are_told() -> None:
    assert outputs_differ(EXPECTED, [SCORE]) == "outputs.label is missing"
    found = outputs_differ(EXPECTED, [{"name": "label", "data": ["text"]}])
    assert found == "outputs.label[0] is 'text', not 'python'"


def test_an_expectation_without_outputs_is_no_expectation() -> None:
    assert outputs_differ(None, [SCORE]) == "the expected answer has no `outputs`"
