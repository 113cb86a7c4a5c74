"""The commands about policies: judge, policy list, policy explain, policy test."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.options import configuration_of, print_json, record_of

if TYPE_CHECKING:
    from pipeline.compose_policies import Judgement
    from pipeline.compose_policy_cases import Result
    from pipeline.interface import Policy


def judge(options: argparse.Namespace) -> int:
    """Judge a recorded run again."""
    from pipeline.compose_policies import judge_again
    from pipeline.errors import PolicyRefused
    from pipeline.report.terminal import make_console
    from pipeline.report.verdicts import print_judged

    record = record_of(options)
    name, policies = _policies(options)
    found = judge_again(record, policies, name, datetime.now(UTC))
    if options.json:
        print_json({**found.model_dump(mode="json"), "refused": found.refused})
    else:
        print_judged(make_console(), [(one.stage, one.verdicts) for one in found.stages], verbose=True)
        print(_conclusion(found))  # noqa: T201
    return PolicyRefused.exit_code if found.refused else 0


def _conclusion(found: "Judgement") -> str:
    said = "is refused" if found.refused else "is accepted"
    listed = "what is listed above, and " if found.reasons else ""
    lacking = f": {listed}it has no result of {', '.join(found.missing)}" if found.missing else ""
    return (
        f"the run {found.run} {said} by {found.policies}, as of {found.judged_at:%Y-%m-%d %H:%M} UTC{lacking}"
    )


def _policies(options: argparse.Namespace) -> "tuple[str, tuple[Policy, ...]]":
    """Return the policies that are asked for, or else those of the configuration."""
    from pipeline.compose_gitops import policies
    from pipeline.compose_policies import policies_of

    if options.policies is not None:
        return options.policies, policies_of(options.policies, Path.cwd())
    configuration = configuration_of(options)
    choice = configuration.values.policies
    return choice if isinstance(choice, str) else options.config.name, policies(configuration)


def list_(options: argparse.Namespace) -> int:
    """Print the packs, or the rules of one."""
    from pipeline.compose_policies import pack_lines, pack_names

    if options.pack is None:
        for name, description in pack_names():
            print(f"{name:<14} {description}")  # noqa: T201
        return 0
    lines = pack_lines(options.pack, Path.cwd())
    wide = max((len(one.id) for one in lines), default=0)
    wider = max((len(one.rule) for one in lines), default=0)
    for one in lines:
        print(f"{one.id:<{wide}}  {one.rule:<{wider}}  {one.level:<7}  {one.origin}")  # noqa: T201
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print what a rule is."""
    from rich.markdown import Markdown

    from pipeline.compose_policies import explain as told
    from pipeline.compose_policies import page
    from pipeline.report.terminal import make_console

    text = page() if options.all else told(options.rule)
    console = make_console()
    if options.all or not console.is_terminal:
        print(text, end="\n" if not options.all else "")  # noqa: T201
    else:
        console.print(Markdown(text))
    return 0


def test(options: argparse.Namespace) -> int:
    """Run the cases of a pack."""
    from pipeline.compose_policy_cases import case_files, run_cases

    results = [result for path in case_files(options.path) for result in run_cases(path)]
    for result in results:
        _print_result(result)
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


def _print_result(result: "Result") -> None:
    print(f"{'ok    ' if result.passed else 'FAILED'} {result.origin}: {result.name}")  # noqa: T201
    if not result.passed:
        print(f"         expected: {result.expected}")  # noqa: T201
        print(f"         found:    {result.found}")  # noqa: T201
        for reason in result.reasons:
            print(f"                   {reason}")  # noqa: T201
