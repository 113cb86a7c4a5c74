"""The disk forecast: what all stages of a run will write, against what is free, for each file system.

Needs are added up as if nothing were removed before the end. That is a little more than the peak, since the
stages run one after the other and clean up behind them; but a run that starts does not end on a full disk.

What is free is what an unprivileged user may still write (`statvfs`, `f_bavail`). Quotas are not seen. Two
places are on one file system where `stat` gives them the same device; what shares a disk behind different
devices (volumes of one pool, a container's own root) is looked at as if it were apart.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from pipeline.model import Check, DiskForecast, DiskNeed, Problem
from pipeline.report.phrases import size

RECORDS_BYTES = 100_000_000
"""For the record, the logs of all commands and the clone of the GitOps repository: a few megabytes mostly."""


def records(folder: Path) -> DiskNeed:
    """Return what every run needs, whatever its stages do."""
    return DiskNeed(
        purpose="records and logs", path=folder, size_bytes=RECORDS_BYTES, reason="an allowance for every run"
    )


def forecast(needs: Iterable[DiskNeed]) -> tuple[Check, ...]:
    """Return one check for each file system, and one for what is needed on other machines.

    Two stages that name the very same need share it: weights are fetched once for all of them.
    """
    groups: dict[int | None, list[DiskNeed]] = {}
    for need in dict.fromkeys(one for one in needs if one.size_bytes or one.at_least):
        device = None if need.path is None else existing(need.path).stat().st_dev
        groups.setdefault(device, []).append(need)
    return tuple(_check(_forecast(group)) for group in groups.values())


def existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there and may be looked at."""
    return next(place for place in (path, *path.absolute().parents) if _is_there(place))


def _forecast(needs: Sequence[DiskNeed]) -> DiskForecast:
    place = None if needs[0].path is None else existing(needs[0].path)
    return DiskForecast(
        mount_point=None if place is None else _mount_point(place),
        free_bytes=None if place is None else shutil.disk_usage(place).free,
        needed_bytes=sum(need.size_bytes for need in needs),
        at_least=any(need.at_least for need in needs),
        needs=tuple(sorted(needs, key=lambda need: need.size_bytes, reverse=True)),
    )


def _check(disk: DiskForecast) -> Check:
    if disk.mount_point is None:
        return Check(subject="disk elsewhere", found=f"not looked at; {_needed(disk)}", disk=disk)
    subject = f"disk at {disk.mount_point}"
    found = f"{size(disk.free_bytes or 0)} free, {_needed(disk)}"
    if disk.fits:
        return Check(subject=subject, found=found, disk=disk)
    return Check(subject=subject, found=found, problem=Problem.DISK, advice=_advice(disk), disk=disk)


def _needed(disk: DiskForecast) -> str:
    """Return the sum and its parts, the largest first."""
    parts: Counter[str] = Counter()
    for need in disk.needs:
        parts[need.purpose] += need.size_bytes
    told = ", ".join(f"{purpose} {size(count)}" for purpose, count in parts.most_common() if count)
    total = f"{'at least ' if disk.at_least else ''}{size(disk.needed_bytes)} needed"
    return f"{total} ({told})" if told else total


def _advice(disk: DiskForecast) -> str:
    largest = disk.needs[0]
    missing = size(disk.needed_bytes - (disk.free_bytes or 0))
    cut = f" {largest.advice}" if largest.advice else ""
    return (
        f"Free {missing} at {disk.mount_point}, or work on a larger disk. The most is for: {largest.purpose} "
        f"({size(largest.size_bytes)}, {largest.reason}).{cut}"
    )


def _mount_point(place: Path) -> Path:
    """Return the highest folder above a place that is on the same device."""
    place = place.resolve()
    device = place.stat().st_dev
    same = takewhile(lambda folder: folder.stat().st_dev == device, place.parents)
    return (place, *same)[-1]


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
