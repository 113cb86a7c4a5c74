"""How the registries that we know by their host take big blobs: one table, with the reasons."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from stages.oci.chunked import Chunked
from stages.oci.uploads import Monolithic, UploadStrategy


@dataclass(frozen=True, slots=True)
class Habit:
    """What is known of the registries whose host fits a pattern."""

    hosts: str
    """A regular expression for the whole host."""
    uploads: Callable[[], UploadStrategy]
    reason: str


HABITS = (
    Habit(r"ghcr\.io", Monolithic, "a PATCH may not be longer than 4 MiB"),
    Habit(r".*-docker\.pkg\.dev", Monolithic, "Artifact Registry takes no chunks"),
    Habit(r"(.*\.)?gcr\.io", Monolithic, "served by Artifact Registry, which takes no chunks"),
    Habit(
        r"\d+\.dkr[.-]ecr(-fips)?\..*",
        Monolithic,
        "ECR answers 201 to the first chunk and throws the others away",
    ),
    Habit(r"(.*\.)?public\.ecr\.aws", Monolithic, "ECR, as above"),
)
ANY_OTHER = Habit(
    r".*",
    Chunked,
    "the specification's way; as quick as one request where it was measured, and a break costs one chunk. A "
    "registry that refuses chunks is found out by the first one",
)


def habit(host: str) -> Habit:
    """Return what is known of the registry behind a host, which may have a port."""
    name = host.partition(":")[0].lower()
    return next((each for each in HABITS if re.fullmatch(each.hosts, name)), ANY_OTHER)
