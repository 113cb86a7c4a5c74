"""Proof before a commit: what is rendered before and after an edit differs in the image alone.

What cannot be proved here and now is a note in the evidence; a proof that fails stops the commit.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.desk import Desk
from pipeline.errors import ToolMissing
from pipeline.model import Proof
from pipeline.reference import Reference, Repository
from stages.manifests.comparison import Comparison, Difference, Intent, compare, differing, names_anywhere
from stages.manifests.editing import EditedFile, standing
from stages.manifests.interface import NewImage, Target
from stages.manifests.judgement import FollowUp, judge, refuse_broken, refuse_without_effect
from stages.manifests.render import (
    Helm,
    Kustomizer,
    NotRendered,
    Renderer,
    documents,
    has_helm,
    kustomize_command,
    render,
)
from stages.manifests.rendered_files import Files, NotHere, Reader
from stages.manifests.tree import Tree
from stages.manifests.units import Unit, chart_of, component_users, kustomization_of

Mode = Literal["auto", "require", "off"]
_NO_KUSTOMIZE = "neither kustomize nor kubectl is on this machine"
_NO_HELM = "Helm is not on this machine"
_SWITCHED_OFF = "the chart renders the image nowhere with these values, so its effect is not shown"
_REQUIRED = "Install it, or set `proof: auto` in `update:`, which goes on and says so in the evidence."


@dataclass(slots=True)
class Prover:
    """Proves edits on one desk; what was rendered once is not rendered again."""

    desk: Desk
    mode: Mode = "auto"
    _reader: Reader = field(default_factory=Reader)
    _read: dict[Unit, Files] = field(default_factory=dict)
    _rendered: dict[tuple[Renderer, str], tuple[object, ...] | NotRendered] = field(default_factory=dict)

    def __call__(
        self, tree: Tree, files: Sequence[EditedFile], wishes: Sequence[tuple[Target, NewImage]]
    ) -> tuple[Proof, ...]:
        """Return what was proved of each edited file, and what could not be.

        Raises:
            ManifestRefused: the edit changes something else, nothing, or breaks what was whole.
            ToolMissing: a renderer is required and not there.
        """
        if self.mode == "off" or not files:
            return ()
        self._read.clear()
        work = _Work(self, tree, tuple(files), _intents(tree, wishes))
        return tuple(dict.fromkeys(proof for file in files for proof in work.prove(file)))

    def rendered(
        self, renderer: Renderer, files: Files, edited: Mapping[str, bytes], *, again: bool = False
    ) -> tuple[object, ...]:
        """Return the rendered documents, kept from the last time unless asked for `again`.

        Raises:
            NotRendered: the renderer refuses.
        """
        key = (renderer, files.fingerprint(edited))
        if again or key not in self._rendered:
            found = self._render(renderer, files, edited)
            if again:
                return _checked(found)
            self._rendered[key] = found
        return _checked(self._rendered[key])

    def _render(
        self, renderer: Renderer, files: Files, edited: Mapping[str, bytes]
    ) -> tuple[object, ...] | NotRendered:
        with tempfile.TemporaryDirectory(
            dir=self.desk.folder, prefix="proof-", ignore_cleanup_errors=True
        ) as scratch:
            try:
                return render(renderer, files, edited, Path(scratch).resolve(), self.desk)
            except NotRendered as error:
                return error

    def read(self, tree: Tree, unit: Unit) -> Files:
        """Return what a unit is rendered from, in the tree of the present call."""
        if unit not in self._read:
            read = self._reader.chart if unit.how == "helm" else self._reader.kustomization
            self._read[unit] = read(tree, unit.folder)
        return self._read[unit]


@dataclass(frozen=True, slots=True)
class _Work:
    """The proof of one set of edits to one tree."""

    prover: Prover
    tree: Tree
    files: tuple[EditedFile, ...]
    intents: tuple[Intent, ...]

    @property
    def edited(self) -> dict[str, bytes]:
        return {file.path: file.after for file in self.files}

    def prove(self, file: EditedFile) -> Iterator[Proof]:
        unit = kustomization_of(self.tree, file.path, self.prover.read) or chart_of(self.tree, file.path)
        if unit is None:
            yield self._parsed(file, "")
        elif missing := _missing_renderer(unit):
            if self.prover.mode == "require":
                raise ToolMissing(f"`update.proof` is `require`, but {missing}", advice=_REQUIRED)
            yield self._parsed(file, f"not rendered: {missing}")
        elif unit.is_component:
            yield from self._component(file, unit)
        else:
            yield self._whole(file, unit)

    def _whole(self, file: EditedFile, unit: Unit) -> Proof:
        """Return the proof of what is rendered by itself; it must not stay as it was."""
        try:
            before, found = self._compared(unit)
        except NotHere as error:
            return self._parsed(file, f"not rendered: {unit.folder or 'the root'}: {error}")
        except NotRendered as error:
            return self._not_comparable(file, unit, error)
        if not found.changed and before and not self._is_switched_off(unit, before):
            raise refuse_without_effect(file, unit)
        proof = self._judged(file, unit, found)
        if before and not found.changed:
            return proof.model_copy(update={"note": _SWITCHED_OFF})
        return proof

    def _component(self, file: EditedFile, unit: Unit) -> Iterator[Proof]:
        """Yield proofs of what uses a component, which renders little by itself."""
        proofs = []
        effect = False
        for user in component_users(self.tree, unit, file.path, self.prover.read):
            try:
                _, found = self._compared(user)
            except (NotHere, NotRendered) as error:
                proofs.append(self._parsed(file, f"not compared: {user.folder or 'the root'}: {error}"))
                effect = True
                continue
            effect = effect or bool(found.changed)
            proofs.append(self._judged(file, user, found))
        if proofs and not effect:
            raise refuse_without_effect(file, unit)
        unused = f"not rendered: no kustomization near it uses the component {unit.folder}"
        yield from proofs or [self._parsed(file, unused)]

    def _compared(self, unit: Unit) -> tuple[tuple[object, ...], Comparison]:
        files = self.prover.read(self.tree, unit)
        renderer = _renderer(unit)
        before = self.prover.rendered(renderer, files, {})
        try:
            after = self.prover.rendered(renderer, files, self.edited)
        except NotRendered as error:
            inside = next(file for file in self.files if file.path in files.contents)
            raise refuse_broken(inside, unit, str(error)) from error
        found = self._compare(unit, before, after)
        if found.foreign and unit.how == "helm":  # a chart may make passwords, and write the time
            once_more = self.prover.rendered(renderer, files, {}, again=True)
            pairs = zip(before, once_more, strict=False)
            random = frozenset((d.document, d.way) for one, other in pairs for d in differing(one, other))
            found = self._compare(unit, before, after, random)
        return before, found

    def _compare(
        self,
        unit: Unit | None,
        before: Sequence[object],
        after: Sequence[object],
        ignored: frozenset[tuple[str, tuple[str | int, ...]]] = frozenset(),
    ) -> Comparison:
        fields = [change for file in self.files for change in file.fields]
        edited = [(change.old or "", change.new) for change in fields]
        own = tuple(self._own()) if unit is not None and unit.how == "kustomize" else ()
        return compare(before, after, self.intents, edited, ignored=ignored, own=own)

    def _own(self) -> Iterator[Difference]:
        """Yield what differs in the files themselves: of a resource, just that is to be rendered."""
        for file in self.files:
            with suppress(NotRendered):
                sides = (documents(content.decode()) for content in (file.before, file.after))
                for before, after in zip(*sides, strict=False):
                    yield from differing(before, after)

    def _judged(self, file: EditedFile, unit: Unit, found: Comparison) -> Proof:
        told: FollowUp = judge(file, unit, found)
        return Proof(
            file=file.path,
            how=unit.how,
            folder=unit.folder,
            documents=found.documents,
            changed=len(found.changed),
            note="\n".join(told.notes) if found.documents else f"{unit.tool} renders nothing of it",
        )

    def _not_comparable(self, file: EditedFile, unit: Unit, error: NotRendered) -> Proof:
        """Return what is said where nothing could be rendered before: that is not the edit's doing."""
        note = (
            f"not compared: {unit.tool} could not render {unit.folder or 'the root'} before the edit: {error}"
        )
        return self._parsed(file, note)

    def _is_switched_off(self, unit: Unit, before: Sequence[object]) -> bool:
        """Tell whether a chart renders the image nowhere: other values may switch it on."""
        known = frozenset(name for intent in self.intents for name in intent.repositories)
        return unit.how == "helm" and not names_anywhere(before, known)

    def _parsed(self, file: EditedFile, note: str) -> Proof:
        """Return the proof of a file as it stands, which the edit itself has compared value by value."""
        try:
            before, after = documents(file.before.decode()), documents(file.after.decode())
        except NotRendered as error:
            return Proof(file=file.path, how="parsed", note=note or f"not validated: {error}")
        found = self._compare(None, before, after)
        told = judge(file, None, found)
        return Proof(
            file=file.path,
            how="parsed",
            documents=found.documents,
            changed=len(found.changed),
            note="\n".join(part for part in (note, *told.notes) if part),
        )


def _checked(found: tuple[object, ...] | NotRendered) -> tuple[object, ...]:
    if isinstance(found, NotRendered):
        raise found
    return found


def _missing_renderer(unit: Unit) -> str:
    if unit.how == "helm":
        return "" if has_helm() else _NO_HELM
    return "" if kustomize_command() else _NO_KUSTOMIZE


def _renderer(unit: Unit) -> Renderer:
    if unit.how == "helm":
        return Helm(unit.folder, unit.values)
    return Kustomizer(kustomize_command() or (), unit.folder)


def _intents(tree: Tree, wishes: Sequence[tuple[Target, NewImage]]) -> tuple[Intent, ...]:
    return tuple(
        Intent(frozenset(_names(tree, target, image)), image) for target, image in dict.fromkeys(wishes)
    )


def _names(tree: Tree, target: Target, image: NewImage) -> Iterator[Repository]:
    """Return what the image is called where it is replaced."""
    yield image.repository
    said = [place.reference for place in standing(tree, target, image)]
    for text in (*said, target.image or ""):
        try:
            yield Reference.parse(text.rpartition("://")[2]).repository
        except ValueError:
            continue
