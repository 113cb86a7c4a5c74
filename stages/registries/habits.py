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
    # oras-project/rust-oci-client#37, ocx-sh/ocx#237: 416, "exceeds the maximum permissible limit of 4.00MiB"
    Habit(r"ghcr\.io", Monolithic, "a PATCH may not be longer than 4 MiB"),
    # cloud.google.com/artifact-registry/docs/reference/docker-api; kitops-ml/kitops#777
    Habit(r".*-docker\.pkg\.dev", Monolithic, "Artifact Registry takes no chunks"),
    Habit(r"(.*\.)?gcr\.io", Monolithic, "served by Artifact Registry, which takes no chunks"),
    # openai/tart#273 (201 to a PATCH), aws/containers-roadmap#2831 (Range), dotnet/sdk#33019 (Range, GET)
    Habit(
        r"\d+\.dkr[.-]ecr(-fips)?\..*",
        Monolithic,
        "ECR answers 201 to a chunk, its Range stays at the first, and it never says how far an upload is",
    ),
    Habit(r"(.*\.)?public\.ecr\.aws", Monolithic, "ECR, as above"),
)
# Docker Hub takes chunks of 100 MiB (kitops-ml/kitops#329). Azure's own clients send chunks, but an upload
# that broke within one is lost (Azure/azure-sdk-for-python#29738), as with distribution 2.8, on which Harbor
# is built, too.
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
