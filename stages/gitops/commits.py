"""How commits are made and pushed, beside what they change and who their author is."""

from dataclasses import dataclass

from stages.gitops.access import Access
from stages.gitops.fast_import import Author
from stages.gitops.signing import Signing
from stages.gitops.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Commits:
    """What the configuration says of them."""

    committer: Author | None = None
    """None: the author."""
    wording: Wording = Wording()  # noqa: RUF009 - frozen
    signing: Signing | None = None
    access: Access = Access()  # noqa: RUF009 - frozen
