"""Packs: sets of rules in a file, one extending another, found by name, by path or by entry point."""

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Self

from pydantic import model_validator

from pipeline.errors import ConfigurationError
from pipeline.yaml_source import Place, Tree, load, validate
from policies.exceptions import Statement, VulnerabilityException
from policies.rule import Options, Word
from policies.rules import AnyRule
from policies.vex import read_vex

PACKS = Path(__file__).parent / "packs"
GROUP = "model_image_pipeline.packs"
"""Entry points of this group name packages; the pack `strict` is the file strict.yaml in its package."""


class LeftOut(Options):
    """An entry of the extended pack that does not apply."""

    id: Word
    """Its id; without one, its rule's name."""
    reason: Word
    """Why not."""


class Pack(Options):
    """A file of rules."""

    description: str = ""
    """What the pack is for."""
    extends: Word | None = None
    """Another pack, whose rules apply too: by its name, or a file relative to this one."""
    without: tuple[LeftOut, ...] = ()
    """Entries of the extended pack that do not apply, each with a reason."""
    exceptions: tuple[VulnerabilityException, ...] = ()
    """Vulnerabilities that are accepted for a while, by all the rules about them."""
    vex: tuple[Word, ...] = ()
    """VEX documents (OpenVEX or CycloneDX), for all the rules about vulnerabilities."""
    rules: tuple[AnyRule, ...] = ()
    """The rules; all of them apply. One with `replaces:` stands in for an entry of the extended pack."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.rules and self.extends is None:
            raise ValueError("there is no rule in it; write at least one, or a pack that it extends")
        return self


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule and where it was written."""

    rule: AnyRule
    tree: Tree
    place: Place
    folder: Path

    @property
    def id(self) -> str:
        """What it goes by in its pack."""
        return self.rule.id or self.rule.rule

    @property
    def origin(self) -> str:
        """File and line."""
        return self.tree.origin(self.place)


@dataclass(frozen=True, slots=True)
class Resolved:
    """All that applies: the pack's own rules and those of what it extends."""

    rules: tuple[Placed, ...]
    exceptions: tuple[VulnerabilityException, ...] = ()
    statements: tuple[Statement, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Where:
    """A file of rules: the tree, the folder that its paths are relative to, and what tells it from others."""

    tree: Tree
    folder: Path
    key: str
    place: Place = ()

    @property
    def file(self) -> Path | None:
        """The file itself; None for what stands inside another one."""
        if self.place:
            return None
        return Path(self.key) if Path(self.key).is_absolute() else self.folder / f"{self.key}.yaml"


def packs() -> tuple[str, ...]:
    """Return the names of the packs that come with the pipeline."""
    return tuple(sorted(path.stem for path in PACKS.glob("*.yaml")))


def installed() -> tuple[str, ...]:
    """Return the names of the packs that installed packages bring.

    Raises:
        ConfigurationError: two of them, or one and one of ours, go by the same name.
    """
    found: dict[str, str] = dict.fromkeys(packs(), "the pipeline itself")
    for entry in sorted(entry_points(group=GROUP)):
        if entry.name in found:
            raise ConfigurationError(
                f"the pack {entry.name} of {entry.value} has the name of one of {found[entry.name]}",
                advice="Uninstall one of the packages, or rename the entry point.",
            )
        found[entry.name] = entry.value
    return tuple(name for name in found if name not in packs())


def find(choice: str, folder: Path, beside: str = "") -> Where:
    """Return the pack of this name, or the file of this path.

    Raises:
        ConfigurationError: there is none, or it is not YAML.
    """
    if "/" in choice or choice.endswith((".yaml", ".yml")):
        shown = os.path.normpath(os.path.join(os.path.dirname(beside), choice)) if beside else choice  # noqa: PTH118, PTH120
        path = (folder / choice).resolve()
        return Where(load(folder / choice, shown), path.parent, str(path))
    theirs = installed()
    if choice in packs():
        path = PACKS / f"{choice}.yaml"
    elif choice in theirs:
        (entry,) = entry_points(group=GROUP, name=choice)
        path = Path(str(files(entry.value))) / f"{choice}.yaml"
    else:
        raise _unknown(choice, (*packs(), *theirs))
    return Where(load(path, f"pack {choice}"), path.parent, choice)


def _unknown(choice: str, known: Sequence[str]) -> ConfigurationError:
    near = difflib.get_close_matches(choice, known, n=1)
    return ConfigurationError(
        f"policies: {choice!r} is no pack; there are {', '.join(known)}",
        advice=(f"Did you mean {near[0]!r}? " if near else "")
        + "A file of your own is named by its path, such as ./policies.yaml.",
    )


def read(where: Where, chain: tuple[str, ...] = ()) -> Resolved:
    """Return all that a pack says, with what it extends.

    Raises:
        ConfigurationError: a rule is wrong, a pack extends itself, or leaves out what is not there.
    """
    pack = _validated(where)
    inherited = Resolved(())
    if pack.extends is not None:
        inherited = _extended(where, pack.extends, (*chain, where.key))
    kept = tuple(_kept(inherited.rules, pack, where))
    own = tuple(
        Placed(rule, where.tree, (*where.place, "rules", number), where.folder)
        for number, rule in enumerate(pack.rules)
    )
    return replace(
        inherited,
        rules=(*kept, *own),
        exceptions=(*inherited.exceptions, *pack.exceptions),
        statements=(*inherited.statements, *statements(pack.vex, where.folder)),
        description=pack.description,
    )


def files_of(where: Where) -> Iterator[Path]:
    """Yield the files that a pack is made of: its own, those of what it extends, and their VEX documents.

    Raises:
        ConfigurationError: as `read`, which goes the same way and finds packs that extend each other.
    """
    pack = _validated(where)
    if where.file is not None:
        yield where.file
    yield from (where.folder / name for name in pack.vex)
    if pack.extends is not None:
        yield from files_of(_other(where, pack.extends))


def _validated(where: Where) -> Pack:
    if not where.place:
        return validate(Pack, where.tree)

    class Inside(Options):
        policies: Pack

    return validate(Inside, where.tree).policies


def _extended(where: Where, choice: str, chain: tuple[str, ...]) -> Resolved:
    origin = where.tree.origin((*where.place, "extends"))
    try:
        other = _other(where, choice)
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: extends: {error.message}", advice=error.advice) from error
    if other.key in chain:
        way = " -> ".join((*(Path(key).name for key in chain), Path(other.key).name))
        raise ConfigurationError(
            f"{origin}: extends: {choice!r} comes back to where it began: {way}",
            advice="Let one of them extend nothing.",
        )
    return read(other, chain)


def _other(where: Where, choice: str) -> Where:
    return find(choice, where.folder, "" if where.tree.name.startswith("pack ") else where.tree.name)


def _kept(inherited: Sequence[Placed], pack: Pack, where: Where) -> Iterator[Placed]:
    """Yield the rules of the extended pack that still apply."""
    known = sorted({one.id for one in inherited})
    gone: set[str] = set()
    named = [(left.id, ("without", n, "id")) for n, left in enumerate(pack.without)]
    named += [(rule.replaces, ("rules", n, "replaces")) for n, rule in enumerate(pack.rules) if rule.replaces]
    for name, place in named:
        if name not in known:
            origin = where.tree.origin((*where.place, *place))
            raise ConfigurationError(f"{origin}: {_nothing(name, known)}", advice="Mend this and run again.")
        gone.add(name)
    yield from (one for one in inherited if one.id not in gone)


def _nothing(name: str, known: Sequence[str]) -> str:
    if not known:
        return f"{name!r} - no pack is extended, so there is nothing to replace or to leave out"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"{name!r} - no entry of the extended pack has this id; {hint}"


def statements(vex: Sequence[str], folder: Path) -> tuple[Statement, ...]:
    """Return what VEX documents say.

    Raises:
        ConfigurationError: one of them cannot be read.
    """
    return tuple(one for name in vex for one in read_vex(folder / name, name))
