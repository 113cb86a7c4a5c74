"""How a comment of ours is known again."""

from pipeline.ci.interface import Proposal


def marker(key: str) -> str:
    """Return the hidden line that our comments begin with."""
    return f"<!-- model-image-pipeline {key} -->"


def marked(markdown: str, key: str) -> str:
    """Return a comment's text with its marker."""
    return f"{marker(key)}\n{markdown}".rstrip()


def left(proposal: Proposal, reason: str) -> str:
    """Return the one line that says why there is no comment."""
    return f"no comment on {proposal}: {reason}; the summary has it"
