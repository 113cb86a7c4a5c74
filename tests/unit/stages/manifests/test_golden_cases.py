"""Every folder of tests/data/manifests: an edit, what it makes of the files, or why it is refused."""

import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ConfigurationError
from pipeline.reference import Digest, Repository, Tag
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target, Traffic
from stages.manifests.tree import Folder

CASES = Path(__file__).parents[3] / "data" / "manifests"

HINTS = {field.name for field in fields(Target)} - {"path"}


def _load(name: str) -> dict[str, str]:
    loaded: dict[str, str] = yaml.safe_load((CASES / name / "case.yaml").read_text())
    return loaded


def _target(case: dict[str, str], path: str) -> Target:
    hints = {key: value for key, value in case.items() if key in HINTS - {"traffic"}}
    traffic = Traffic(**yaml.safe_load(case["traffic"])) if "traffic" in case else None
    return Target(path=path, traffic=traffic, **hints)


def _image(case: dict[str, str]) -> NewImage:
    digest = Digest(case["digest"]) if "digest" in case else None  # only a tag is known
    return NewImage(repository=Repository(case["repository"]), tag=Tag(case["tag"]), digest=digest)


def _edit(name: str) -> tuple[EditedFile, ...]:
    case = _load(name)
    return edit(Folder(CASES / name / "original"), [(_target(case, case["path"]), _image(case))])


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


NAMES = sorted(path.name for path in CASES.iterdir())
REFUSED = [name for name in NAMES if "refuses" in _load(name)]
UNCHANGED = [name for name in NAMES if "unchanged" in _load(name)]
EDITED = [name for name in NAMES if name not in {*REFUSED, *UNCHANGED}]


def test_there_are_cases_of_every_outcome() -> None:
    assert min(len(EDITED), len(REFUSED), len(UNCHANGED)) > 0


@pytest.mark.parametrize("name", EDITED)
def test_the_edit_makes_the_expected_bytes(name: str) -> None:
    edited = _edit(name)
    result = _files(CASES / name / "original") | {file.path: file.after for file in edited}
    assert edited
    assert result == _files(CASES / name / "expected")


@pytest.mark.parametrize("name", EDITED)
def test_a_second_edit_changes_nothing(name: str, tmp_path: Path) -> None:
    case = _load(name)
    shutil.copytree(CASES / name / "original", tmp_path, symlinks=True, dirs_exist_ok=True)
    for file in _edit(name):
        (tmp_path / file.path).write_bytes(file.after)
    assert edit(Folder(tmp_path), [(_target(case, case["path"]), _image(case))]) == ()


@pytest.mark.parametrize("name", UNCHANGED)
def test_nothing_changes_where_the_image_is_named_already(name: str) -> None:
    assert _edit(name) == ()


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_where_why_and_what_to_do(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _edit(name)
    for part in _load(name)["refuses"]:
        assert part in caught.value.message
    for part in _load(name).get("advises", [""]):
        assert part in caught.value.advice
    assert caught.value.advice
