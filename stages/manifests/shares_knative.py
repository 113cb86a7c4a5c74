"""Knative divides requests between revisions by `spec.traffic`: the newest, and one that is named.

A revision can be named only where the template names its own (`spec.template.metadata.name`). That name has
to change with the image, and to begin with the service's: it becomes `SERVICE-DIGEST`, by the digest's
beginning.
"""

from collections.abc import Iterator

from stages.manifests.cursor import Cursor
from stages.manifests.edits import AddItem, Edit, SetScalar
from stages.manifests.shares import ALL, Share, percent_edit

_LONGEST_NAME = 63
_NAMED = (
    "Write these once: a name of the revision as `name:` of `spec.template.metadata`, such as {name}-1, and "
    "`traffic: [{{latestRevision: true, percent: 100}}]` in `spec:`. From then on they change with the image."
)
_TWO = (
    "Keep two entries, one with `latestRevision: true` and one with `revisionName:`, or the first one alone: "
    "between others this pipeline cannot choose."
)


def knative(share: Share) -> Iterator[Edit]:
    """Yield the edits of a Service of Knative.

    Raises:
        ManifestRefused: its revisions have no names, or requests are divided between more than two.
    """
    revision, newest, named = _revision(share), *_entries(share)
    current = share.percent_at(newest.get("percent"), ALL)
    percent = share.next(current, newest)
    yield percent_edit(newest, "percent", percent)
    starts = share.traffic.step == "deliver" and percent != ALL
    running = revision[1] if starts and current == ALL else None
    yield from _rest(share, named, ALL - percent, running)
    if share.traffic.step != "shift":
        yield SetScalar(revision[0], _name(share))


def _rest(share: Share, named: Cursor | None, percent: int, running: str | None) -> Iterator[Edit]:
    """Yield what the named revision gets; `running` is the one that had all requests, where it changes."""
    if named is not None:
        yield percent_edit(named, "percent", percent)
        name = named.get("revisionName")
        if running is not None and name is not None:
            yield SetScalar(name, running)
    elif running is not None:
        traffic = share.document.at("spec", "traffic")
        assert traffic is not None  # noqa: S101 - its entries were read
        yield AddItem(traffic, (("revisionName", running), ("percent", percent)))


def _revision(share: Share) -> tuple[Cursor, str]:
    """Return the name of the template's revision, and where it stands."""
    metadata = share.document.at("spec", "template", "metadata")
    name, text = (metadata.get("name"), metadata.text("name")) if metadata is not None else (None, None)
    if name is None or not text:
        raise share.refused(
            share.document,
            "does not name its revisions, so none of them can keep a part of the requests",
            advice=_NAMED.format(name=_service(share)),
        )
    return name, text


def _entries(share: Share) -> tuple[Cursor, Cursor | None]:
    """Return what `spec.traffic` says of the newest revision, and of the named one if there is one."""
    spec = share.document.get("spec")
    entries = spec.list_at("traffic") if spec is not None else ()
    newest = [each for each in entries if each.text("latestRevision") == "true"]
    named = [each for each in entries if each.text("revisionName")]
    if not entries:
        raise share.refused(
            share.document,
            "does not say in `spec.traffic` how requests are divided",
            advice=_NAMED.format(name=_service(share)),
        )
    if len(newest) != 1 or len(named) > 1 or len(entries) != len(newest) + len(named):
        at = spec.get("traffic") if spec is not None else None
        raise share.refused(
            at or share.document,
            "divides requests between others than the newest and one named revision",
            advice=_TWO,
        )
    return newest[0], named[0] if named else None


def _name(share: Share) -> str:
    service, digest = _service(share), share.image.digest
    name = f"{service}-{digest.short if digest is not None else share.image.tag.lower()}"
    if len(name) > _LONGEST_NAME:
        raise share.refused(
            share.document,
            f"would have a revision {name}, which is longer than {_LONGEST_NAME} characters",
            advice="Give the service a shorter name, or leave `strategy:` out of this target.",
        )
    return name


def _service(share: Share) -> str:
    metadata = share.document.get("metadata")
    return (metadata.text("name") if metadata is not None else None) or "service"
