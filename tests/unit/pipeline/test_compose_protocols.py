"""Protocols of other distributions, which are really installed: a package and its dist-info on the path."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.compose_protocols import GROUP, protocols
from pipeline.errors import ConfigurationError
from stages.servers import PROTOCOLS

PROTOCOL = """
    from stages.servers.plain_http import PlainHttp

    class Acme:
        options = frozenset({"path", "tenant"})

        def connect(self, target):
            return PlainHttp().connect(target)

    ready_made = Acme()
    not_one = object()
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution whose module bears its name."""

    def install(name: str, source: str = PROTOCOL, **entries: str) -> None:
        site = tmp_path / name
        information = site / f"{name}-1.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{name}.py").write_text(textwrap.dedent(source))
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{entry} = {value}" for entry, value in entries.items()]
        (information / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(str(site))

    return install


def test_nobody_else_has_one() -> None:
    assert dict(protocols("v2")) == dict(PROTOCOLS)


@pytest.mark.parametrize("value", ["Acme", "ready_made"])
def test_a_class_or_an_object_of_another_distribution(install: Install, value: str) -> None:
    name = f"acme_{value.lower()}"
    install(name, acme=f"{name}:{value}")
    found = protocols("acme")
    assert [*found] == [*PROTOCOLS, "acme"]
    assert len(found) == len(PROTOCOLS) + 1
    assert found["acme"].options == {"path", "tenant"}
    assert found["v2"] is PROTOCOLS["v2"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("acme_broken:Acme", "acme_broken:Acme: ModuleNotFoundError: No module named 'no_such_module'"),
        ("acme_nowhere:Acme", "ModuleNotFoundError: No module named 'acme_nowhere'"),
    ],
)
def test_one_that_cannot_be_loaded_is_told_with_its_distribution(
    install: Install, value: str, words: str
) -> None:
    install("acme_broken", "import no_such_module\n", acme=value)
    with pytest.raises(
        ConfigurationError, match=r"protocol 'acme' of acme_broken 1\.0 cannot be loaded"
    ) as raised:
        protocols("acme")
    assert words in raised.value.message
    assert "acme_broken 1.0" in raised.value.advice


def test_a_broken_one_that_is_not_used_does_not_matter(install: Install) -> None:
    install("acme_unused", "import no_such_module\n", acme="acme_unused:Acme")
    assert "acme" in protocols("v2")


def test_an_object_of_another_kind_is_refused(install: Install) -> None:
    install("acme_other", acme="acme_other:not_one")
    with pytest.raises(ConfigurationError, match="is no server protocol: it has no `connect`"):
        protocols("acme")


def test_the_name_of_a_protocol_of_ours_is_taken(install: Install) -> None:
    install("acme_thief", openai="acme_thief:Acme")
    with pytest.raises(ConfigurationError, match=r"'openai' of acme_thief 1\.0 is also one of this pipeline"):
        protocols("v2")


def test_two_distributions_with_one_name_are_refused(install: Install) -> None:
    install("acme_one", acme="acme_one:Acme")
    install("acme_two", acme="acme_two:Acme")
    with pytest.raises(ConfigurationError, match=r"'acme' of acme_two 1\.0 is also one of acme_one 1\.0"):
        protocols("v2")
