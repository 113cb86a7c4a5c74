"""Requests and expected answers from files."""

from pathlib import Path

from stages.servers.payloads import check_expected, read_payloads


def test_a_golden_file_beside_the_request_is_what_is_expected(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_bytes(b"{}")
    assert [each.expected for each in read_payloads(request, None)] == [None]
    (tmp_path / "request.expected.json").write_bytes(b"7")
    (found,) = read_payloads(request, None)
    assert (found.body, found.expected, found.name) == (b"{}", b"7", "request.json")


def test_a_file_that_is_named_counts_more(tmp_path: Path) -> None:
    request, other = tmp_path / "request.json", tmp_path / "answer.json"
    request.write_bytes(b"{}")
    other.write_bytes(b"8")
    (tmp_path / "request.expected.json").write_bytes(b"7")
    (found,) = read_payloads(request, other)
    assert found.expected == b"8"
    assert check_expected(other) == ()


def test_without_a_request_the_protocol_makes_one() -> None:
    assert read_payloads(None, None) == ()


def test_an_expected_answer_that_is_not_there_is_a_failing_check(tmp_path: Path) -> None:
    (check,) = check_expected(tmp_path / "answer.json")
    assert not check.passed
    assert "benchmark.expect" in check.advice
