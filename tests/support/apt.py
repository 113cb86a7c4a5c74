"""Installs packages of the operating system, on Debian and Ubuntu, when run by root."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.support.commands import log_file, one_at_a_time, run_logged
from tests.support.errors import SetupError

SOURCES_FOLDER = Path("/etc/apt/sources.list.d")
SID_SOURCE = SOURCES_FOLDER / "model-image-pipeline-sid.sources"
SID_PREFERENCES = Path("/etc/apt/preferences.d/model-image-pipeline-sid")
# Priority 40 is below every default, so sid is used only for the packages that ask for it by name.
SID_PIN = "Package: *\nPin: release n=sid\nPin-Priority: 40\n"

APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
APT_ADVICE = "check that this machine's apt sources answer (apt-get update), or install the package yourself"


def can_install() -> bool:
    """Say whether this process may install packages here."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def distribution() -> dict[str, str]:
    """Return the fields of os-release; empty where there is none (macOS)."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def install(packages: Sequence[str], *, why: str) -> None:
    """Install packages from the machine's own sources; `why` names the part that needs them."""
    _require_root(packages, why)
    log = log_file("apt")
    with one_at_a_time("apt"):  # apt-get does not wait for the lock of its package lists
        _know_own_packages(log)
        _apt_get("install", "-y", "--no-install-recommends", *packages, log=log)


def install_from_sid(packages: Sequence[str], *, why: str) -> None:
    """Install packages from Debian's sid suite, whose source is derived from the machine's own."""
    _require_root(packages, why)
    log = log_file("apt")
    with one_at_a_time("apt"):  # apt-get does not wait for the lock of its package lists
        if not SID_SOURCE.exists():
            codename = distribution().get("VERSION_CODENAME", "")
            SID_PREFERENCES.write_text(SID_PIN)
            SID_SOURCE.write_text(derive_suite(_machine_sources(), codename, "sid"))
        _know_own_packages(log)  # what sid's packages depend on comes from the machine's own release
        # Update the new source alone: the others may be large, pinned or out of reach.
        _apt_get(
            "update",
            *("-o", f"Dir::Etc::SourceList={SID_SOURCE}", "-o", "Dir::Etc::SourceParts=-"),
            *("-o", "APT::Get::List-Cleanup=0"),
            log=log,
        )
        _apt_get("install", "-y", "--no-install-recommends", *(f"{name}/sid" for name in packages), log=log)


def _know_own_packages(log: Path) -> None:
    """Fetch the machine's own package lists where there are none: images of machines often come without."""
    lists = Path("/var/lib/apt/lists").glob("*_Packages*")
    if not any("_dists_sid_" not in path.name for path in lists):
        _apt_get("update", log=log)


def machine_suites(codename: str) -> str:
    """Return the machine's own Debian sources for a release (updates and security too), in deb822 form.

    On another release of Debian the main suite is derived from the machine's.
    """
    of_release = [stanza for stanza in _stanzas(_machine_sources()) if _serves(stanza, codename)]
    if of_release:
        return "\n".join(of_release)
    return derive_suite(_machine_sources(), distribution().get("VERSION_CODENAME", ""), codename)


def _require_root(packages: Sequence[str], why: str) -> None:
    if not can_install():
        command = f"apt-get install {' '.join(packages)}"
        raise SetupError(
            f"{why} is needed, and this user cannot install it here",
            advice=f"install it yourself (Debian and Ubuntu: sudo {command}), or run this as root",
        )


def _apt_get(*arguments: str, log: Path) -> None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments]
    run_logged(command, log=log, advice=APT_ADVICE, environment=APT_ENVIRONMENT)


def _machine_sources() -> list[str]:
    """Return the text of every apt source of this machine, in deb822 form."""
    deb822 = [path.read_text() for path in sorted(SOURCES_FOLDER.glob("*.sources")) if path != SID_SOURCE]
    one_line = [Path("/etc/apt/sources.list"), *sorted(SOURCES_FOLDER.glob("*.list"))]
    return deb822 + [to_deb822(path.read_text()) for path in one_line if path.exists()]


def to_deb822(one_line_sources: str) -> str:
    """Rewrite `deb [options] URI suite components…` lines as deb822 stanzas."""
    stanzas = []
    for line in one_line_sources.splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options = []
        if words[1].startswith("["):
            end = next(index for index, word in enumerate(words) if word.endswith("]"))
            options = " ".join(words[1 : end + 1]).strip("[] ").split()
            words = [words[0], *words[end + 1 :]]
        fields = {"Types": "deb", "URIs": words[1], "Suites": words[2], "Components": " ".join(words[3:])}
        fields |= {_OPTION_FIELDS[key]: value for key, _, value in _pairs(options) if key in _OPTION_FIELDS}
        stanzas.append("".join(f"{key}: {value}\n" for key, value in fields.items()))
    return "\n".join(stanzas)


_OPTION_FIELDS = {"signed-by": "Signed-By", "arch": "Architectures", "trusted": "Trusted"}


def _pairs(options: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    return (option.partition("=") for option in options)


def derive_suite(sources: Iterable[str], codename: str, suite: str) -> str:
    """Return the stanza that has the distribution's main suite, with that suite exchanged for another."""
    for stanza in _stanzas(sources):
        if codename in _field(stanza, "Suites"):
            lines = stanza.splitlines()
            return "".join(
                f"Suites: {suite}\n" if line.startswith("Suites:") else f"{line}\n" for line in lines
            )
    raise SetupError(
        f"no apt source of this machine has the suite {codename or '(unknown)'}",
        advice="install what is missing yourself: an engine with buildx (https://docs.docker.com/engine/install)",
    )


def _stanzas(sources: Iterable[str]) -> Iterator[str]:
    """Yield the stanzas without their comments, which speak of the machine that the file was written for."""
    for stanza in "\n\n".join(sources).split("\n\n"):
        lines = [line for line in stanza.splitlines() if line.strip() and not line.startswith("#")]
        if lines:
            yield "\n".join(lines) + "\n"


def _field(stanza: str, name: str) -> list[str]:
    lines = stanza.splitlines()
    return next((line.partition(":")[2].split() for line in lines if line.startswith(f"{name}:")), [])


def _serves(stanza: str, codename: str) -> bool:
    suites = _field(stanza, "Suites")
    own = any(suite == codename or suite.startswith(f"{codename}-") for suite in suites)
    return own and "main" in _field(stanza, "Components") and "no" not in _field(stanza, "Enabled")
