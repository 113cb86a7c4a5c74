"""A verification as a person reads it."""

from collections import Counter

from rich.console import Console

from pipeline.model import Verdict, Verification
from pipeline.report.phrases import plural
from pipeline.report.verdicts import escape


def print_verification(console: Console, found: Verification) -> None:
    """Show the image, its signer, what was attested, and what the policies say."""
    image = found.image
    console.print(f"[green]✔[/] signed  [bold]{image.name}@{image.digest}[/]", soft_wrap=True)
    console.print(f"          by {escape(str(image.signer))}", soft_wrap=True)
    kinds = Counter(one.predicate_type for one in image.attestations if not one.is_signature)
    console.print(f"[green]✔[/] {plural(sum(kinds.values()), 'attestation')} verified", soft_wrap=True)
    for kind, count in kinds.items():
        console.print(f"    {escape(kind)}{f' ({count})' if count > 1 else ''}", style="dim", soft_wrap=True)
    for note in image.ignored:
        console.print(f"[yellow]-[/] ignored: {escape(note)}", soft_wrap=True)
    for verdict in found.verdicts:
        _print_verdict(console, verdict)
    if found.missing:
        told = ", ".join(found.missing)
        console.print(
            f"[bold red]refused[/]: the policies judge {told}, and none was attested", soft_wrap=True
        )
    refused = sum(verdict.refuses for verdict in found.verdicts)
    if not found.verdicts:
        console.print("no policy judges what was attested", style="dim")
    elif refused:
        console.print(f"[bold red]refused[/] by {plural(refused, 'rule')}")
    elif not found.missing:
        console.print(f"[green]✔[/] {plural(len(found.verdicts), 'verdict')}, none refuses it")


def _print_verdict(console: Console, verdict: Verdict) -> None:
    if verdict.passed:
        console.print(
            f"    [green]passed[/]  {escape(verdict.policy)}: {escape(verdict.summary)}", soft_wrap=True
        )
    word = "[red]refused[/]" if verdict.refuses else "[yellow]warning[/]"
    for reason in verdict.reasons:
        origin = f" [dim]({escape(verdict.origin)})[/]" if verdict.origin else ""
        console.print(
            f"    {word} {escape(verdict.policy)}: {escape(reason.message)}{origin}", soft_wrap=True
        )
        if reason.advice and verdict.refuses:
            console.print(f"            {escape(reason.advice)}", style="dim", soft_wrap=True)
