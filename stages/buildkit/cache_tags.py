"""The tags of a cache: one for each branch, target and set of platforms, for each write replaces the last."""

import hashlib
import re
from collections.abc import Sequence

from pipeline.reference import Tag

LONGEST = 100


def cache_tag(branch: str, *, image: str = "", target: str = "", platforms: Sequence[str] = ()) -> Tag:
    """Return the tag under which a branch keeps its cache.

    `image` is empty where the repository holds the cache of one image only. A branch may be called anything:
    what a tag cannot say, or says of another branch too, is told apart by the beginning of a hash.
    """
    parts = (image, branch, target, ",".join(platforms))
    if not any((image, target, platforms)) and len(branch) <= LONGEST and Tag.grammar.fullmatch(branch):
        return Tag(branch)
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, parts))).strip("-.")[:LONGEST]
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:8]
    return Tag(f"{words}-{digest}".lstrip("-"))
