"""What the command line understands of policies: judge, policy list, policy explain, policy test."""

import argparse
from pathlib import Path


def add_judge(parser: argparse.ArgumentParser) -> None:
    """Add what `pipeline judge` takes beside a configuration."""
    parser.add_argument("run", metavar="RUN", help="a recorded run, its record.json, or latest")
    parser.add_argument(
        "--policies",
        metavar="NAME|FILE",
        help="pack or file of rules; default: those of pipeline.yaml",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_policy(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `pipeline policy` and what it does."""
    from pipeline.commands import judging  # no command of its own: its parts are

    summary = "list, explain and test policies"
    policy = verbs.add_parser("policy", help=summary, description=f"{summary.capitalize()}.")
    parts = policy.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = _part(parts, "list", "print the packs, or the rules of one and where each stands")
    listed.add_argument("pack", nargs="?", metavar="PACK", help="name or file of a pack")
    listed.set_defaults(do=judging.list_)
    explained = _part(parts, "explain", "say what a rule is: what, why, options, example, remedy")
    explained.add_argument("rule", nargs="?", metavar="RULE", help="default: all rules, a line each")
    explained.add_argument("--all", action="store_true", help="print docs/policies.md")
    explained.set_defaults(do=judging.explain)
    tested = _part(parts, "test", "run the cases of a pack: evidence, and what has to be made of it")
    tested.add_argument(
        "path",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="FOLDER|FILE",
        help="default: every test_*.yaml and *_test.yaml below this folder",
    )
    tested.set_defaults(do=judging.test)


def _part(
    parts: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    return parts.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
