"""Licences: expressions, patterns, and what nobody knows."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import License
from policies import load_policies
from tests.unit.policies.evidence import scan


def accepted(rule: dict[str, object], *licenses: str) -> bool:
    found = tuple(License(license=one, package=f"p{number}") for number, one in enumerate(licenses))
    (policy,) = load_policies([{"rule": "licenses", **rule}], Path())
    return policy.judge(scan().model_copy(update={"licenses": found})).passed


@pytest.mark.parametrize(
    ("rule", "license_", "expected"),
    [
        ({"allow": ["MIT"]}, "MIT", True),
        ({"allow": ["MIT"]}, "mit", True),
        ({"allow": ["MIT"]}, "Apache-2.0", False),
        ({"allow": ["MIT"]}, "MIT OR AGPL-3.0-only", True),
        ({"allow": ["MIT"]}, "MIT AND AGPL-3.0-only", False),
        ({"allow": ["MIT", "BSD-*"]}, "(MIT AND BSD-3-Clause) OR GPL-2.0-only", True),
        ({"allow": ["GPL-2.0-only"]}, "GPL-2.0-only WITH Classpath-exception-2.0", True),
        ({"deny": ["GPL-2.0-only"]}, "GPL-2.0-only WITH Classpath-exception-2.0", False),
        ({"allow": ["GPL-2.0-only WITH Classpath-exception-2.0"]}, "GPL-2.0-only", False),
        ({"deny": ["AGPL-*"]}, "AGPL-3.0-or-later", False),
        ({"deny": ["AGPL-*"]}, "MIT", True),
        ({"deny": ["AGPL-3.0"]}, "AGPL-3.0-only", False),  # SPDX's older names, in rules as in packages
        ({"deny": ["gpl-2.0+"]}, "GPL-2.0-or-later", False),
        ({"allow": ["LGPL-2.1"]}, "LGPL-2.1-only", True),
        ({"allow": ["LGPL-2.1-only"]}, "LGPL-2.1", True),
        ({"allow": ["*"], "deny": ["AGPL-*"]}, "AGPL-3.0-only OR MIT", True),
        ({"allow": ["MIT"]}, "BSD", False),
        ({"allow": ["MIT"], "unknown": "allow"}, "BSD", True),
        ({"allow": ["MIT"]}, "", False),
        ({"allow": ["MIT"]}, "( OR MIT", False),  # its parser raises what it should not
        ({"allow": ["MIT"]}, "( ) +", False),
        ({"allow": ["MIT"], "exceptions": [{"package": "P0", "reason": "ours"}]}, "", True),
    ],
)
def test_expressions(rule: dict[str, object], license_: str, expected: bool) -> None:
    assert accepted(rule, license_) is expected


def test_mistakes() -> None:
    with pytest.raises(ConfigurationError, match="no SPDX licence goes by this name"):
        accepted({"allow": ["MTI"]})
    with pytest.raises(ConfigurationError, match="no SPDX licence fits this pattern"):
        accepted({"deny": ["AGLP-*"]})
    with pytest.raises(ConfigurationError, match="an expression of several licences"):
        accepted({"deny": ["MIT OR AGPL-3.0-only"]})  # it would deny nothing
    with pytest.raises(ConfigurationError, match="everything is allowed"):
        accepted({"unknown": "allow"})
