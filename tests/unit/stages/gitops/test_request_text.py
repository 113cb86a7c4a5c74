"""What a pull request says, with hostile names in it."""

import html

from pipeline.model import FieldChange, FileChange, Proof
from stages.gitops import request_text

REFERENCE = f"registry.example.com/team/digits:v1@sha256:{'ab' * 32}"


def _message(branch: str) -> str:
    return (
        f"digits: deploy 4f9c1d2e8a7b\n\nRoll out team/digits as it was built from {branch}.\n\n"
        f"Image: {REFERENCE}\nTag: v1\n"
    )


def _change(diff: str) -> FileChange:
    field = FieldChange(line=3, field="spec.image", old="a", new="b")
    return FileChange(path="apps/digits.yaml", fields=(field,), diff=diff)


def _body(*, branch: str = "main", line: str = "1 of 1 test passed", diff: str = "-a\n+b\n") -> str:
    return request_text.body(_message(branch), [REFERENCE], [("test", line)], [_change(diff)])


def test_says_image_digest_commit_evidence_and_change() -> None:
    text = _body()
    assert REFERENCE in html.unescape(text)
    assert text.startswith("Roll out team/digits as it was built from main.\n")
    assert "Tag: v1" not in text
    assert "| **test** | 1 of 1 test passed |" in text
    assert "```diff\n-a\n+b\n```" in text


def test_a_hostile_branch_stays_text() -> None:
    text = _body(branch="x`</code><img src=x>|@everyone")
    assert "<img" not in text
    assert "@everyone" not in text
    assert r"\`&lt;/code&gt;" in text.splitlines()[0]


def test_a_hostile_evidence_line_stays_text() -> None:
    text = _body(line="a | b <b>x</b> @team closes #12\n# heading")
    (row,) = [line for line in text.splitlines() if "**test**" in line]
    assert r"a \| b &lt;b&gt;x&lt;/b&gt;" in row
    assert "@team" not in text
    assert "#12" not in text


def test_a_fence_in_the_diff_does_not_end_the_diff() -> None:
    text = _body(diff="+````\n+# not a heading\n")
    assert "`````" in text.replace("````\n+", "")
    assert text.index("```````diff") < text.index("# not a heading")


def test_a_diff_without_end_is_left_out() -> None:
    text = _body(diff="+x\n" * 100_000)
    assert len(text) < 65_536
    assert "too long" in text


def test_the_title_is_the_first_line() -> None:
    assert request_text.title(_message("main")) == "digits: deploy 4f9c1d2e8a7b"


def test_says_how_the_edit_was_proved() -> None:
    proof = Proof(
        file="apps/digits.yaml", how="kustomize", folder="apps", documents=3, changed=1, note="a label too"
    )
    assert request_text.proved(proof) == (
        "apps/digits.yaml: rendered by kustomize in apps, 1 of 3 documents change, "
        "by the image alone; a label too"
    )
    parsed = Proof(file="digits.yaml", how="parsed", documents=1, changed=1)
    assert request_text.proved(parsed).startswith("digits.yaml: parsed, 1 of 1 documents change")
