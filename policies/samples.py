"""Evidence that passes: what a test case of a pack changes a part of."""

import typing
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel

from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Destinations,
    ManifestUpdate,
    PushedImage,
    ScanReport,
    Source,
    SuiteReport,
)

KINDS: Mapping[str, type[Artifact]] = {
    "source": Source,
    "suite": SuiteReport,
    "image": BuiltImage,
    "scan": ScanReport,
    "benchmark": BenchmarkReport,
    "destinations": Destinations,
    "push": PushedImage,
    "update": ManifestUpdate,
}
"""What evidence a case may name."""
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_DIGEST = f"sha256:{'0' * 64}"
_TOOL = {"name": "sample", "version": "1"}
_LATENCY = {"p50_ms": 1, "p95_ms": 2, "p99_ms": 3, "max_ms": 4, "mean_ms": 1}


def sample(
    kind: str, changes: Mapping[str, Any], now: datetime, recorded: Artifact | None = None
) -> Artifact:
    """Return evidence of this kind, a recorded one or one that passes, with these fields changed.

    Lists are replaced as a whole.

    Raises:
        ValueError: a field has a wrong type (pydantic's ValidationError), or is not there.
    """
    if recorded is not None and not changes:
        return recorded
    said = _merged(_plain(kind, now) if recorded is None else recorded.model_dump(), changes)
    return KINDS[kind].model_validate(_filled(KINDS[kind], said, now))


def _plain(kind: str, now: datetime) -> dict[str, Any]:
    """Return the fields that have to have a value for the evidence to be good."""
    good: dict[str, dict[str, Any]] = {
        "source": {"root": "/src", "commit": _COMMIT, "branch": "main", "ci": "github", "protected": True},
        "suite": {
            "command": ["pytest"],
            "counts": {"total": 100, "passed": 100, "failed": 0, "errors": 0, "skipped": 0},
            "line_coverage": 1.0,
            "finished_at": now,
        },
        "image": {
            "revision": _COMMIT,
            "platforms": [{"platform": "linux/amd64", "user": "10001", "base_created": now}],
            "base": {"name": "python:3.12-slim", "digest": _DIGEST},
        },
        "scan": {
            "secrets": [],
            "licenses": [],
            "misconfigurations": [],
            "model_files": {"scanners": [], "files": []},
            "known_exploited_list": "sample",
        },
        "benchmark": {"requests": 100, "latency": _LATENCY, "throughput_rps": 1000, "finished_at": now},
        "destinations": {},
        "push": {},
        "update": {"status": "committed"},
    }
    return good[kind]


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def _filled(model: type[BaseModel], said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the fields with a value for each that is required and was not said."""
    filled = {
        name: _inside(field.annotation, said[name], now)
        for name, field in model.model_fields.items()
        if name in said
    }
    missing = {
        name: _any(field.annotation, now)
        for name, field in model.model_fields.items()
        if name not in said and field.is_required()
    }
    unknown = {name: value for name, value in said.items() if name not in model.model_fields}
    return {**missing, **filled, **unknown}


def _inside(annotation: object, value: Any, now: datetime) -> Any:
    """Fill what lies in a value that was said."""
    for kind in _members(annotation):
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            return _filled(kind, value, now)
        if isinstance(value, list | tuple) and typing.get_origin(kind) is tuple:
            return [_inside(typing.get_args(kind)[0], one, now) for one in value]
    return value


def _any(annotation: object, now: datetime) -> Any:
    """Return some value of a type."""
    kind = _members(annotation)[0]
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)[0]
    if not isinstance(kind, type):
        return () if typing.get_origin(kind) is tuple else None
    if issubclass(kind, BaseModel):
        return _filled(kind, _TOOL if kind.__name__ == "Tool" else {}, now)
    if issubclass(kind, Enum):
        return next(iter(kind)).value
    known = {"Digest": _DIGEST, "Repository": "registry.example.com/sample", "datetime": now}
    return known.get(kind.__name__, 0 if issubclass(kind, bool | int | float) else "sample")


def _members(annotation: object) -> tuple[object, ...]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        return tuple(one for one in typing.get_args(annotation) if one is not type(None))
    return (annotation,)
