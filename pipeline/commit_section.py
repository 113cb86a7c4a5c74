"""What pipeline.yaml says of the commits: their words, who signs them, and the App that may push them."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.section import Section

MESSAGE_VARIABLES = (
    "image",
    "tag",
    "digest",
    "short_digest",
    "commit",
    "short_commit",
    "branch",
    "source_repository",
    "model_image",
    "run",
)
RESERVED_TRAILERS = frozenset(
    {"image", "tag", "digest", "model-image", "manifest", "order-key", "occasion", "pipeline-run"}
    | {"source-commit", "source-repository", "pipeline-branch"}
)
"""Trailers that the pipeline writes itself, and reads again."""
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_TRAILER = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9-]*):")
_LONGEST = 10_000


def require_message(text: str) -> str:
    """Return a template that can become a commit message.

    Raises:
        ValueError: it is empty, has an unknown placeholder, or a line that is one of our trailers.
    """
    if not text.strip() or len(text) > _LONGEST or "\0" in text:
        raise ValueError(
            "expected a message: a line that says what is done, then perhaps a blank one and more"
        )
    for name in _VARIABLE.findall(text):
        if name not in MESSAGE_VARIABLES:
            known = ", ".join(f"{{{each}}}" for each in MESSAGE_VARIABLES)
            raise ValueError(f"there is no {{{name}}}: a message may have {known}")
    for line in text.splitlines():
        found = _TRAILER.match(line)
        if found is not None and found[1].lower() in RESERVED_TRAILERS:
            raise ValueError(f"the trailer {found[1]} is written by the pipeline itself, below the message")
    return text


def require_trailers(trailers: dict[str, str]) -> dict[str, str]:
    """Return trailers that git reads as such.

    Raises:
        ValueError: a name is none, or is the pipeline's own; a value is empty or has several lines.
    """
    for name, value in trailers.items():
        if not _TRAILER.fullmatch(f"{name}:"):
            raise ValueError(
                f"{name!r} is no name of a trailer: letters, digits and dashes, as in Signed-off-by"
            )
        if name.lower() in RESERVED_TRAILERS:
            raise ValueError(f"the trailer {name} is written by the pipeline itself")
        if not value.strip() or not value.isprintable():
            raise ValueError(f"the trailer {name} needs a value on one line")
    return trailers


Message = Annotated[str, AfterValidator(require_message)]
Trailers = Annotated[dict[str, str], AfterValidator(require_trailers)]
PersonText = Annotated[str, Field(pattern=r"^[^<>\n\r\x00]*[^<>\s\x00][^<>\n\r\x00]*$")]
"""A name or an address as git writes it into a commit."""


class SigningSection(Section):
    """How the commits are signed."""

    format: Literal["ssh", "openpgp"]
    """An SSH key or an OpenPGP key."""
    key: str | None = None
    """File with the private key, without a passphrase; for openpgp also the id of a key in the keyring.
    Default: the variable GITOPS_SIGNING_KEY holds the key itself."""


class GitHubAppSection(Section):
    """A GitHub App whose installation may write to the GitOps repository."""

    app_id: int | str
    """The App's id, or its client id."""
    installation_id: int
    """The installation's id: the number at the end of its URL."""
    private_key: str | None = None
    """File with the App's private key. Default: the variable GITOPS_GITHUB_APP_KEY holds the key itself."""
    api_url: str | None = None
    """Address of the API; default: that of the host, https://HOST/api/v3 for GitHub Enterprise."""
