"""Requests and expected answers from files."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import Problem
from stages.servers.payloads import RequestFile, check_request, read_payloads


def write(folder: Path, **files: bytes) -> None:
    """Write files; a double underscore in a name is a dot."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)


def test_a_golden_file_beside_the_request_is_what_is_expected(tmp_path: Path) -> None:
    write(tmp_path, request__json=b"{}")
    request = tmp_path / "request.json"
    assert [each.expected for each in read_payloads(request, None)] == [None]
    write(tmp_path, request__expected__json=b"7")
    (found,) = read_payloads(request, None)
    assert (found.body, found.expected, found.name) == (b"{}", b"7", "request.json")


def test_a_file_that_is_named_counts_more(tmp_path: Path) -> None:
    write(tmp_path, request__json=b"{}", answer__json=b"8", request__expected__json=b"7")
    (found,) = read_payloads(tmp_path / "request.json", tmp_path / "answer.json")
    assert found.expected == b"8"
    assert check_request(tmp_path / "request.json", tmp_path / "answer.json").passed


def test_without_a_request_the_protocol_makes_one() -> None:
    assert read_payloads(None, None) == ()
    assert check_request(None, None).found == "made from the model's metadata"


def test_each_line_of_json_lines_is_a_request_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, chats__jsonl=b'{"a": 1}\n\n{"a": 2}\r\n', chats__expected__jsonl=b"1\n2\n")
    payloads = read_payloads(tmp_path / "chats.jsonl", None)
    assert [(each.name, each.body, each.expected) for each in payloads] == [
        ("chats.jsonl:1", b'{"a": 1}', b"1"),
        ("chats.jsonl:3", b'{"a": 2}', b"2"),
    ]
    assert {each.weight for each in payloads} == {0.5}
    assert check_request(tmp_path / "chats.jsonl", None).found == f"2 of {tmp_path}/chats.jsonl"


def test_any_other_file_is_sent_as_it_is_with_the_type_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, page__html=b"<p>\xff", page__expected__json=b"{}", thing__xyzzy=b"\0")
    files = (
        RequestFile(path=tmp_path / "page.html", weight=3),
        RequestFile(path=tmp_path / "thing.xyzzy"),
    )
    payloads = read_payloads(files, None)
    assert [(each.body, each.content_type, each.weight, each.expected) for each in payloads] == [
        (b"<p>\xff", "text/html", 3, b"{}"),
        (b"\0", "application/octet-stream", 1, None),
    ]
    assert check_request(files, None).found == "2 of 2 files"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("request.json", None, "request.json cannot be read: No such file"),
        ("request.json", b'{\n  "inputs": [\n', r"request\.json:3: not valid JSON: .* at column 1"),
        ("request.json", b"\xff\xfe{", "is not UTF-8"),
        ("chats.jsonl", b'{}\n\n{"a": }\n', r"chats\.jsonl:3: not valid JSON: .* at column 7"),
        ("chats.jsonl", b"\n", r"chats\.jsonl holds no request"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as raised:
        read_payloads(path, None)
    assert "benchmark.request" in raised.value.advice
    check = check_request(path, None)
    assert (check.problem, check.found) == (Problem.CONFIGURATION, raised.value.message)


def test_an_expected_answer_that_is_not_there_is_a_failing_check(tmp_path: Path) -> None:
    write(tmp_path, request__json=b"{}")
    check = check_request(tmp_path / "request.json", tmp_path / "answer.json")
    assert not check.passed
    assert "benchmark.expect" in check.advice


def test_as_many_answers_as_requests_are_needed(tmp_path: Path) -> None:
    write(tmp_path, chats__jsonl=b"{}\n{}\n", answers__jsonl=b"{}\n")
    check = check_request(tmp_path / "chats.jsonl", tmp_path / "answers.jsonl")
    assert check.found.endswith("answers.jsonl: 1 answers, but chats.jsonl has 2 requests")


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000], ids=["cut", "deep"])
def test_a_file_that_is_no_json_is_named_whether_it_asks_or_answers(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, request__json=content)
    asked = check_request(tmp_path / "request.json", None)
    assert asked.problem is Problem.CONFIGURATION
    assert "request.json" in asked.found
    write(tmp_path, request__json=b"{}", request__expected__json=content)
    expected = check_request(tmp_path / "request.json", None)
    assert expected.problem is Problem.CONFIGURATION
    assert "request.expected.json" in expected.found
