"""What action.yml does: runs before anything is installed, with the standard library alone.

The pipeline gets a virtual environment of its own, outside the workspace: the names `pipeline`, `stages` and
`policies` may be folders of the user's too. Downloaded wheels are kept for the next job, by hand and by
actions/cache; their hashes are checked at every installation, so it does not matter where they come from.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ACTION = Path(__file__).resolve().parents[2]
PROJECT = "model-image-pipeline"
OLDEST = (3, 11)
ALWAYS = ("trivy", "hadolint")
"""What every delivery uses without being asked; the GitLab component installs the same."""
CLIENTS = {"GITHUB_ACTIONS": "github", "GITLAB_CI": "gitlab"}
"""The extra that writes the comment on a pull or merge request, by the variable that names its CI host."""
BUILD = "hatchling"  # builds the package itself, without an isolated environment of unhashed packages

PASSED_ON = {
    "run": ("config", "environment", "until", "from"),
    "promote": ("config", "from", "to", "record"),
}
"""What each command of the pipeline takes as it is."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARENT = re.compile(r"^    # +(?:via )?([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_BLOCK = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)


class Mistake(Exception):
    """An input that cannot be, or a runner that cannot do it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are, on this runner."""

    key: str
    """Names everything that decides what is installed: platform, Python, packages and their hashes."""
    requirements: str
    wheels: Path
    environment: Path

    @property
    def python(self) -> Path:
        """The Python of the private environment."""
        return self.environment / "bin" / "python"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do one step of the action."""
    try:
        if sys.version_info < OLDEST:
            raise Mistake(f"Python {platform.python_version()} is too old: set `python-version` to 3.12, say")
        if len(arguments) == 1 and arguments[0] in PASSED_ON:
            run(arguments[0], environment)
        places = find_places(environment)
        if arguments == ["prepare"]:
            hand_on(environment, {"key": places.key, "wheels": str(places.wheels)})
        elif arguments == ["install"]:
            install(places)
            hand_on(environment, {"python": str(places.python)})
        else:
            raise Mistake(f"no such step: {arguments}")
    except Mistake as mistake:
        print(f"::error title=Model Image Pipeline::{escaped(str(mistake))}", flush=True)
        return 2
    return 0


def find_places(environment: Mapping[str, str]) -> Places:
    """Return what this runner gets, and where."""
    asked = re.split(r"[\s,]+", environment.get("INPUT_EXTRAS", "").strip(" ,\n"))
    here = [extra for variable, extra in CLIENTS.items() if environment.get(variable) == "true"]
    extras = tuple(sorted({*asked, *here}))
    requirements = select(
        (ACTION / "requirements-all.txt").read_text(encoding="utf-8"),
        wanted(tomllib.loads((ACTION / "pyproject.toml").read_text(encoding="utf-8")), extras),
    )
    python = f"{platform.python_implementation()}-{platform.python_version()}-{sys.executable}"
    decisive = "\n".join((requirements, python, "".join(platform.libc_ver())))
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:16]
    key = f"{PROJECT}-{platform.system()}-{platform.machine()}-{digest}".lower()
    temporary = Path(environment.get("RUNNER_TEMP") or tempfile.gettempdir())
    kept = Path(environment.get("RUNNER_TOOL_CACHE") or temporary)
    return Places(
        key=key,
        requirements=requirements,
        wheels=kept / PROJECT / key,
        environment=temporary / f"{key}-{source_digest()[:16]}",
    )


def source_digest() -> str:
    """Return a digest of the package's own source, which is installed from the action's folder."""
    total = hashlib.sha256()
    for top in ("pipeline", "stages", "policies"):
        for path in sorted((ACTION / top).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                total.update(f"{path.relative_to(ACTION)}\0".encode() + path.read_bytes())
    return total.hexdigest()


def wanted(project: Mapping[str, Mapping[str, object]], extras: Iterable[str]) -> frozenset[str]:
    """Return the names of the packages that these extras ask for.

    Raises:
        Mistake: there is no such extra.
    """
    offered = project["project"]["optional-dependencies"]
    dependencies = project["project"]["dependencies"]
    assert isinstance(offered, dict)  # noqa: S101 - our own file
    assert isinstance(dependencies, list)  # noqa: S101
    lines = [*dependencies, BUILD]
    for extra in (*ALWAYS, *filter(None, extras)):
        if extra not in offered:
            raise Mistake(f"`extras` names {extra!r}, which is none of {', '.join(sorted(offered))}")
        lines += offered[extra]
    return frozenset(_name_of(line) for line in lines)


def select(requirements: str, names: frozenset[str]) -> str:
    """Return the blocks of pinned requirements that these packages need, by what each says it is there for.

    One that is left out by mistake is no danger: pip refuses to install what has no hash.
    """
    blocks = {_name_of(block): block for block in _BLOCK.split(requirements) if not block.startswith("#")}
    parents = {name: {_normal(found) for found in _PARENT.findall(block)} for name, block in blocks.items()}
    chosen: set[str] = set()
    found = {name for name in blocks if name in names}
    while found - chosen:
        chosen |= found
        found = {name for name in blocks if parents[name] & chosen}
    return "".join(blocks[name] for name in sorted(chosen))


def _name_of(line: str) -> str:
    match = _NAME.match(line)
    assert match is not None  # noqa: S101 - both files are made by tools
    return _normal(match[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def install(places: Places) -> None:
    """Make the private environment, unless an earlier step of this job made it."""
    done = places.environment / "installed"
    if done.exists():
        return
    shutil.rmtree(places.environment, ignore_errors=True)
    try:
        venv.create(places.environment, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise Mistake(
            "python3 here makes no virtual environments: install python3-venv, or set `python-version`"
        ) from error
    requirements = places.environment / "requirements.txt"
    requirements.write_text(places.requirements, encoding="utf-8")
    if not (places.wheels.is_dir() and _install_wheels(places, requirements)):
        _download(places, requirements)
        if not _install_wheels(places, requirements):
            raise Mistake("what was just downloaded cannot be installed: see the log above")
    own = ("install", "--no-index", "--no-deps", "--no-build-isolation", str(ACTION))
    if not _pip(places, own):
        raise Mistake("the pipeline itself cannot be installed: see the log above")
    done.touch()


def _install_wheels(places: Places, requirements: Path) -> bool:
    options = ("--no-index", "--find-links", str(places.wheels), "--only-binary", ":all:")
    return _pip(places, ("install", *options, "--require-hashes", "--requirement", str(requirements)))


def _download(places: Places, requirements: Path) -> None:
    """Fetch the wheels; they appear complete or not at all, so that no half a cache is kept."""
    places.wheels.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.wheels.parent) as folder:
        fresh = Path(folder) / "wheels"
        options = ("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements))
        if not _pip(places, ("download", "--dest", str(fresh), *options)):
            raise Mistake("the packages cannot be downloaded: can this runner reach its package index?")
        shutil.rmtree(places.wheels, ignore_errors=True)
        try:
            fresh.rename(places.wheels)
        except OSError:
            if not places.wheels.is_dir():  # else another job of this machine was quicker
                raise


def _pip(places: Places, arguments: Sequence[str]) -> bool:
    pip = [str(places.python), "-I", "-m", "pip", "--disable-pip-version-check", "-qq"]
    return subprocess.run([*pip, *arguments], check=False, stdin=subprocess.DEVNULL).returncode == 0


def run(command: str, environment: Mapping[str, str]) -> NoReturn:
    """Become a command of the pipeline, under the Python of the private environment, which runs this already.

    Raises:
        Mistake: an input has a value that it cannot have.
    """
    folder = Path(environment.get("INPUT_WORKING_DIRECTORY") or ".")
    if not folder.is_dir():
        raise Mistake(f"`working-directory` is no folder: {folder} (is actions/checkout before this step?)")
    os.chdir(folder)
    program = [sys.executable, "-I", "-m", "pipeline", command, *flags(command, environment)]
    os.execve(sys.executable, program, without_inputs(environment))  # noqa: S606 - no shell by intent


def flags(command: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the inputs as flags; in one word each, so that no value is taken for a flag.

    Raises:
        Mistake: an input has a value that it cannot have.
    """
    cache = environment.get("INPUT_BUILD_CACHE", "").strip()
    settings = [f"build.cache={cache}"] if cache else []
    settings += _lines(environment.get("INPUT_SET", ""))
    one_by_one = {f"--{name}": environment.get(f"INPUT_{name.upper()}") for name in PASSED_ON[command]}
    return (
        *(f"{flag}={value}" for flag, value in one_by_one.items() if value),
        *(f"--resume={folder}" for folder in _lines(environment.get("INPUT_RESUME", ""))),
        *(f"--set={setting}" for setting in settings),
        *(["--dry-run"] if is_true(environment, "dry-run", default="false") else []),
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def without_inputs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the job's own environment; without the summary's file where no summary is wished.

    What the action knows nothing of comes as an empty variable, which is none.
    """
    own = {
        key: value
        for key, value in environment.items()
        if key != "PYTHON" and not key.startswith("INPUT_") and (value or not key.startswith("ACTIONS_"))
    }
    if not is_true(environment, "summary", default="true"):
        own.pop("GITHUB_STEP_SUMMARY", None)
    return own


def is_true(environment: Mapping[str, str], name: str, *, default: str) -> bool:
    """Tell whether an input says yes.

    Raises:
        Mistake: it says neither yes nor no.
    """
    value = environment.get(f"INPUT_{name.replace('-', '_').upper()}") or default
    if value.lower() not in {"true", "false"}:
        raise Mistake(f"`{name}` is {value!r}; it is `true` or `false`")
    return value.lower() == "true"


def hand_on(environment: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Give the steps that follow these values, each of one line."""
    with Path(environment["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as stream:
        stream.writelines(f"{name}={value}\n" for name, value in values.items())


def escaped(text: str) -> str:
    """Return text as it stands in a command to the runner."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
