"""`build.cache` in pipeline.yaml: where BuildKit's cache lies between builds of different machines."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Tag

from pipeline.reference import Repository
from pipeline.section import Section

NAMED = ("registry", "gha")


def _store(value: str) -> str:
    try:
        host = "" if value in NAMED else Repository(value).host
    except ValueError:
        host = ""
    if value in NAMED or "." in host or ":" in host or host == "localhost":
        return value
    raise ValueError(
        "expected registry (a repository beside the image's), gha (the cache service of GitHub Actions), or "
        "a repository such as registry.example.com/team/cache, without a tag"
    )


Store = Annotated[str, AfterValidator(_store)]


class CacheSection(Section):
    """Where the cache lies, and how much of the build it holds."""

    store: Store
    """`registry`: a repository beside the image's in the first registry, its name with `-cache` behind it;
    `gha`: the cache service of GitHub Actions; or a repository by its name."""
    mode: Literal["max", "min"] = "max"
    """`max`: the steps of all stages of the Dockerfile; `min`: those of the image alone, which is smaller."""


def _form(value: object) -> str:
    return "CacheSection" if isinstance(value, dict | CacheSection) else "store"


CacheEntry = Annotated[
    Annotated[Store, Tag("store")] | Annotated[CacheSection, Tag("CacheSection")], Discriminator(_form)
]


def cache_of(entry: str | CacheSection) -> CacheSection:
    """Return what an entry says, in full."""
    return entry if isinstance(entry, CacheSection) else CacheSection(store=entry)
