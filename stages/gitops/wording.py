"""The user's own words in a commit message: a template instead of ours, and more trailers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.model import PushedImage, Source
from stages.gitops.address import Address

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_SHORT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How commit messages differ from ours."""

    template: str | None = None
    """What stands above the trailers of a delivery, with variables such as `{image}`; None: our words."""
    trailers: Mapping[str, str] = field(default_factory=dict)
    """Added to those of every commit."""

    def of(self, message: str, values: Mapping[str, str]) -> str:
        """Return a delivery's message in these words; its trailers stay, as programs read them."""
        if self.template is None:
            return message
        words = _VARIABLE.sub(lambda found: " ".join(values[found[1]].split()), self.template)
        _, _, trailers = message.rstrip().rpartition("\n\n")
        return f"{words.strip()}\n\n{trailers}\n"

    def signed_off(self, message: str) -> str:
        """Return a message with the additional trailers at its end."""
        added = "".join(f"{name}: {' '.join(value.split())}\n" for name, value in self.trailers.items())
        return f"{message.rstrip()}\n{added}"


def values(source: Source, image: PushedImage, run_name: str) -> dict[str, str]:
    """Return what the variables of a template stand for; each becomes one line."""
    own, url = image.model_image, source.repository_url
    return {
        "image": image.name.rpartition("/")[2],
        "tag": image.tag,
        "digest": image.digest,
        "short_digest": image.digest.short,
        "commit": source.version,
        "short_commit": source.version.replace(source.commit, source.commit[:_SHORT]),
        "branch": source.branch or "",
        "source_repository": Address.parse(url, {}).url if url else "",
        "model_image": f"{own.name}:{own.tag}@{own.digest}" if own is not None else "",
        "run": run_name,
    }
