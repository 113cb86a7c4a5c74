"""What follows from a comparison: a refusal that says what differs, or notes for the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ManifestRefused
from stages.manifests import validation
from stages.manifests.comparison import Comparison, Difference
from stages.manifests.editing import EditedFile
from stages.manifests.refusal import refusal
from stages.manifests.units import Unit

_SHOWN = 5
_OFF = "If that is meant, `proof: off` in `update:` commits without this proof."
_SELECTOR = "Kubernetes does not let a selector be changed, so the resource must be made anew"
_WITHOUT_EFFECT = {
    "kustomize": "Correct the entry's `name:`: it is the image as the resources name it, without tag. "
    "Kustomize's `images:` reaches containers and init containers alone; for other fields name the "
    "resource's own file as `path:`. Where another entry or patch sets the image later, name that one.",
    "helm": "Name the values that the chart's templates use, or correct the templates: the image is "
    "rendered, but not from there.",
}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What people should know of a proof that holds."""

    notes: tuple[str, ...]


def judge(file: EditedFile, unit: Unit | None, found: Comparison) -> FollowUp:
    """Return the notes of a proof; `unit` is None where the file was compared as it stands.

    Raises:
        ManifestRefused: more than the image differs, or Kubernetes would not take what is new.
    """
    if unit is not None and found.foreign:
        raise _refuse_foreign(file, unit, found.foreign)
    if found.bad_labels:
        raise _refuse_labels(file, unit, found.bad_labels)
    notes = _derived(found.derived) if unit is not None else ()
    if not validation.can_validate():
        return FollowUp((*notes, validation.NOT_INSTALLED))
    broken, known = validation.newly_invalid(found.changed)
    if broken:
        raise _refuse_invalid(file, unit, broken)
    invalid = (f"not valid before either: {_listed(known)}",) if known else ()
    return FollowUp((*notes, *invalid))


def refuse_without_effect(file: EditedFile, unit: Unit) -> ManifestRefused:
    """Return the error of an edit that changes nothing that is rendered."""
    first = file.fields[0]
    what = "component" if unit.is_component else "kustomization" if unit.how == "kustomize" else "chart"
    return refusal(
        file.path,
        first.line,
        f"{first.field} becomes {first.new}, which changes nothing that {unit.tool} renders of the {what} "
        f"{unit.folder or 'in the root'}: no cluster would run the new image",
        advice=f"{_WITHOUT_EFFECT[unit.how]} `proof: off` in `update:` commits without this proof.",
    )


def refuse_broken(file: EditedFile, unit: Unit, why: str) -> ManifestRefused:
    """Return the error of an edit after which nothing can be rendered any more."""
    return refusal(
        file.path,
        file.fields[0].line,
        f"cannot be changed to {file.fields[0].new}: {unit.tool} renders {unit.folder or 'the root'} now, "
        f"and not with that: {why}",
        advice=f"Look at what the templates or patches make of the tag and the digest. {_OFF}",
    )


def _refuse_foreign(file: EditedFile, unit: Unit, foreign: Sequence[Difference]) -> ManifestRefused:
    return refusal(
        file.path,
        file.fields[0].line,
        f"would change more than the image, as {unit.tool} renders {unit.folder or 'the root'}:\n"
        f"{_lines(foreign)}",
        advice=f"Look at what is made of the image's tag and digest there. {_OFF}",
    )


def _refuse_labels(file: EditedFile, unit: Unit | None, labels: Sequence[Difference]) -> ManifestRefused:
    where = f", as {unit.tool} renders {unit.folder or 'the root'}" if unit is not None else ""
    return refusal(
        file.path,
        file.fields[0].line,
        f"gives labels values that Kubernetes refuses{where}:\n{_lines(labels)}",
        advice="A label takes 63 letters, digits, '-', '_' and '.', so no digest. Give the image of the "
        "values a `digest:` beside its `tag:` and use it in the template, or make the label of something "
        f"else. {_OFF}",
    )


def _refuse_invalid(file: EditedFile, unit: Unit | None, broken: Sequence[str]) -> ManifestRefused:
    where = f", as {unit.tool} renders {unit.folder or 'the root'}" if unit is not None else ""
    return refusal(
        file.path,
        file.fields[0].line,
        f"would no longer be what Kubernetes takes{where}: {_listed(broken)}",
        advice="Often a value that is made of the tag is not quoted in the template, so that digits become a "
        f"number. {_OFF}",
    )


def _derived(derived: Sequence[Difference]) -> tuple[str, ...]:
    if not derived:
        return ()
    notes = [f"changes with the image: {_listed([str(one) for one in derived])}"]
    notes += [_SELECTOR] * any("selector" in one.way and one.document[:7] != "Service" for one in derived)
    return tuple(notes)


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _lines(differences: Sequence[Difference]) -> str:
    shown = [f"  {one.place}\n  - {one.was}\n  + {one.now}" for one in differences[:_SHOWN]]
    more = len(differences) - _SHOWN
    return "\n".join((*shown, *([f"  and {more} more"] if more > 0 else [])))
