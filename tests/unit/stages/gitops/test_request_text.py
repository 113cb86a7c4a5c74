"""What a pull request says, with hostile names in it."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline.model import FieldChange, FileChange, PushedImage, PushedReference, Source
from pipeline.reference import Digest, Repository, Tag
from stages.gitops import request_text

DIGEST = Digest(f"sha256:{'ab' * 32}")
COMMIT = "4f9c1d2e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"


def _source(branch: str) -> Source:
    return Source(
        root=Path("/project"), commit=COMMIT, committed_at=datetime(2026, 11, 22, tzinfo=UTC), branch=branch
    )


def _image() -> PushedImage:
    reference = PushedReference(
        repository=Repository("registry.example.com/team/digits"),
        tag=Tag("v1"),
        digest=DIGEST,
        tag_existed=False,
        duration_s=1,
    )
    return PushedImage(name="team/digits", tag=Tag("v1"), digest=DIGEST, references=(reference,))


def _change(diff: str) -> FileChange:
    field = FieldChange(line=3, field="spec.image", old="a", new="b")
    return FileChange(path="apps/digits.yaml", fields=(field,), diff=diff)


def _body(*, branch: str = "main", line: str = "1 of 1 test passed", diff: str = "-a\n+b\n") -> str:
    return request_text.body(_image(), _source(branch), [("test", line)], [_change(diff)])


def test_says_image_digest_commit_evidence_and_change() -> None:
    text = _body()
    assert "registry.example.com/team/digits:v1" in text
    assert DIGEST in text
    assert COMMIT[:12] in text
    assert "| **test** | 1 of 1 test passed |" in text
    assert "```diff\n-a\n+b\n```" in text


def test_a_hostile_branch_stays_text() -> None:
    text = _body(branch="x`</code><img src=x>|@everyone")
    assert "<img" not in text
    assert "@everyone" not in text
    (row,) = [line for line in text.splitlines() if "built from" in line]
    assert row.count("|") == 3


def test_a_hostile_evidence_line_stays_text() -> None:
    text = _body(line="a | b <b>x</b> @team closes #12\n# heading")
    (row,) = [line for line in text.splitlines() if "**test**" in line]
    assert r"a \| b \<b\>x\</b\>" in row
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


def test_the_title_is_one_short_line() -> None:
    text = request_text.title(_image(), _source("main"))
    assert text == f"digits: deploy {COMMIT[:12]} (sha256:{DIGEST.short})"
