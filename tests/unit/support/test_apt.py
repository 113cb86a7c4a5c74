"""Deriving apt sources from those of the machine."""

from __future__ import annotations

import pytest

from tests.support.apt import derive_suite, to_deb822
from tests.support.errors import SetupError

DEBIAN = """\
Types: deb
# where this came from
URIs: http://mirror.example/packages
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
"""


def test_another_suite_keeps_the_mirror_and_the_key() -> None:
    assert derive_suite([DEBIAN], "bookworm", "sid") == (
        "Types: deb\n"
        "URIs: http://mirror.example/packages\n"
        "Suites: sid\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_one_line_sources_become_stanzas() -> None:
    lines = (
        "# comment\ndeb [signed-by=/k.gpg arch=amd64] http://mirror.example/packages bookworm main contrib\n"
        "deb-src http://mirror.example/packages bookworm main\n"
    )
    assert to_deb822(lines) == (
        "Types: deb\nURIs: http://mirror.example/packages\nSuites: bookworm\nComponents: main contrib\n"
        "Signed-By: /k.gpg\nArchitectures: amd64\n"
    )


def test_a_machine_without_the_suite_is_told_what_to_do() -> None:
    with pytest.raises(SetupError, match="no apt source of this machine has the suite trixie") as caught:
        derive_suite([DEBIAN], "trixie", "sid")
    assert "install" in caught.value.advice
