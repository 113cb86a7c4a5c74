"""Items that are added to lists, however the list is written."""

import pytest

from pipeline.errors import ConfigurationError
from stages.manifests import yaml_editing
from stages.manifests.cursor import Cursor
from stages.manifests.yaml_editing import AddItem, YamlFile

PARAMETER = (("name", "tag"), ("value", "1.20"), ("forceString", True))


def _after(text: str, item: str | tuple[tuple[str, str | bool], ...]) -> str:
    file = YamlFile.parse("f.yaml", text.encode())
    at = Cursor.at_root(file.documents[0]).get("a")
    assert at is not None
    return yaml_editing.apply(file, [AddItem(at, item)])[0].decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n- x: 1\n  y:\n- z\n", "a:\n- x: 1\n  y:\n- z\n- r:1\n"),
        ("a:\n  -\n    x: y # c\nb: 1\n", "a:\n  -\n    x: y # c\n  - r:1\nb: 1\n"),
        ("a: &k # why\n-   x\n", "a: &k # why\n-   x\n-   r:1\n"),
        ("a: !!seq\n- x\n", "a: !!seq\n- x\n- r:1\n"),
        ("a:\n- x\n  # deeper\n\n# end\nb: 1\n", "a:\n- x\n- r:1\n  # deeper\n\n# end\nb: 1\n"),
        ("a:\n- 'x\n  y'", "a:\n- 'x\n  y'\n- 'r:1'"),
        ("a:\n- - x\n  - y\n", "a:\n- - x\n  - y\n- r:1\n"),
        ("a:\n- &q y\n- *q\n", "a:\n- &q y\n- *q\n- r:1\n"),
        ("a:\r\n- x # c\r\n", "a:\r\n- x # c\r\n- r:1\r\n"),
        ("a: [\n  x,\n  y, # c\n]\n", "a: [\n  x,\n  y, r:1, # c\n]\n"),
        ("a: [ ]\n", "a: [ r:1]\n"),
        ('{"a": ["x"]}', '{"a": ["x", "r:1"]}'),
    ],
)
def test_an_item_looks_like_its_neighbours(text: str, expected: str) -> None:
    assert _after(text, "r:1") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n- x", 'a:\n- x\n- name: tag\n  value: "1.20"\n  forceString: true'),
        ("a:\n  -  n: x\n", 'a:\n  -  n: x\n  -  name: tag\n     value: "1.20"\n     forceString: true\n'),
        ("a: [{n: 'x'}]", "a: [{n: 'x'}, {name: 'tag', value: '1.20', forceString: true}]"),
        ('{"a": [{"n": "x"}]}', '{"a": [{"n": "x"}, {"name": "tag", "value": "1.20", "forceString": true}]}'),
    ],
)
def test_a_mapping_looks_like_its_neighbours(text: str, expected: str) -> None:
    assert _after(text, PARAMETER) == expected


@pytest.mark.parametrize("text", ["a:\n- |\n  x\n", "a:\n- n: x\n  v: >-\n    x\n"])
def test_below_a_block_nothing_is_added(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ends with a value of several lines"):
        _after(text, "r:1")


def test_a_list_that_is_used_twice_is_left_alone() -> None:
    with pytest.raises(ConfigurationError, match="a belongs to &k, which line 3 uses too"):
        _after("a: &k\n- x\nb: *k\n", "r:1")
