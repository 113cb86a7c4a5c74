"""Finds what the application layers and the model layers would hide, change or remove of each other."""

import stat
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from pipeline.errors import StageFailed
from stages.oci.layer_facts import Entry, LayerFacts
from stages.oci.model_tar import FOLDER_MODE, parents

READABLE = 0o555


def refuse_overlap(below: Sequence[LayerFacts], above: Sequence[tuple[str, LayerFacts]], path: str) -> None:
    """Check that there is room for a model at `path`, between the layers below it and those above it.

    Those above come with the instruction that made them. A folder that one of them has is as it says there,
    with the model or without; of one that only layers below have, the model's layers set owner and mode.

    Raises:
        StageFailed: there is something at the path; a folder above it is not a plain one of root's, or none;
            or a layer above the model's would remove or hide it.
    """
    place = PurePosixPath(path)
    *folders, own = parents(place)
    found = _together(below)
    _refuse_inside(found, own, "")
    written: dict[str, Entry] = {}
    for instruction, layer in above:
        _refuse_inside(layer.entries, own, instruction)
        _refuse_removal(layer, instruction)
        for name in folders:
            if name in layer.entries and layer.entries[name].kind != "folder":
                raise _no_folder(name, layer.entries[name], place, instruction)
        written |= layer.entries
    for name in folders:
        if name in found and name not in written and not _is_like_ours(found[name]):
            raise _no_folder(name, found[name], place)
    if own in written and written[own].mode & READABLE != READABLE:
        raise StageFailed(
            f"/{own} in the image {_look(written[own])}: not every user could read the model in it",
            advice=f"Leave the folder to the model's layer, or let the Dockerfile `chmod 755 /{own}`.",
        )


def _refuse_inside(entries: dict[str, Entry], own: str, instruction: str) -> None:
    inside = sorted(name for name in entries if name.startswith(f"{own}/"))
    if inside or (own in entries and entries[own].kind != "folder"):
        raise StageFailed(
            f"the application image already has /{inside[0] if inside else own}, where the model goes"
            f"{_by(instruction)}",
            advice="Take the model out of the Dockerfile, or choose another `model.path`.",
        )


def _refuse_removal(layer: LayerFacts, instruction: str) -> None:
    if layer.removed:
        gone = layer.removed[0]
        what = f"what was in /{gone.strip('/')}" if gone.endswith("/") else f"/{gone}"
        raise StageFailed(
            f"the Dockerfile removes {what}{_by(instruction)}; its layers lie above the model's, so the "
            "weights would be gone too",
            advice="Leave that out: the model's layers bring their folders. Or choose another `model.path`.",
        )


def _no_folder(name: str, entry: Entry, place: PurePosixPath, instruction: str = "") -> StageFailed:
    return StageFailed(
        f"/{name} in the image {_look(entry)}{_by(instruction)}; the model's layers make it a plain folder "
        "of root's",
        advice=f"{'Leave that out, or choose' if instruction else 'Choose'} a `model.path` whose parents are "
        f"root's, such as /{'weights' if place.parts[1] == 'models' else 'models'}/{place.name}.",
    )


def _by(instruction: str) -> str:
    return f" (`{instruction}`)" if instruction else ""


def _is_like_ours(entry: Entry) -> bool:
    return entry.kind == "folder" and (entry.owner, entry.group, entry.mode) == (0, 0, FOLDER_MODE)


def _look(entry: Entry) -> str:
    if entry.kind != "folder":
        return f"is a link to {entry.target}" if entry.kind == "link" else "is not a folder"
    mode = stat.filemode(stat.S_IFDIR | entry.mode)
    return f"belongs to {entry.owner}:{entry.group} with mode {mode}"


def _together(layers: Iterable[LayerFacts]) -> dict[str, Entry]:
    """Return what is there after all layers; a layer removes nothing of its own."""
    found: dict[str, Entry] = {}
    for layer in layers:
        found = {
            name: kept for name, kept in found.items() if not _is_gone(name, layer.removed)
        } | layer.entries
    return found


def _is_gone(name: str, removed: Iterable[str]) -> bool:
    return any(
        name.startswith(gone.lstrip("/")) if gone.endswith("/") else f"{name}/".startswith(f"{gone}/")
        for gone in removed
    )
