"""What the numbers of a benchmark depend on: when recorded ones are taken again, or stand beside new ones."""

import json
from collections.abc import Mapping, Sequence

from pipeline.reference import Digest
from stages.servers.interface import Payload

MEASURES = 3  # raised whenever what is measured, or how, changes: an older record is then not taken again
TOLD_OTHERWISE = frozenset(
    {
        *("protocols", "environment", "expect", "limits", "contest"),
        *("files", "registries", "weights", "platforms"),
    }
)
"""Options of the stage that say nothing of their own: the image's digests, the requests or the limits do."""


def asked_of_a_server(
    options: Mapping[str, object], environment: Mapping[str, str], payloads: Sequence[Payload]
) -> dict[str, object]:
    """Return what is asked of a server, whatever its image."""
    return {
        **{name: value for name, value in options.items() if name not in TOLD_OTHERWISE},
        "environment": dict(environment),
        "request": [[each.body, each.expected, each.weight, each.content_type] for each in payloads],
    }


def digest_of(known: Mapping[str, object]) -> Digest:
    """Return one value for all of it; what is no JSON counts by its `repr`."""
    return Digest.of(json.dumps({**known, "measures": MEASURES}, sort_keys=True, default=repr).encode())
