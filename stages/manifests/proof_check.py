"""A proof that would fail is found before any work is done."""

from pipeline.desk import Desk
from pipeline.errors import ManifestRefused, PipelineError, ToolMissing
from pipeline.model import Check, Problem
from stages.manifests.editing import edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.proof import Mode, Prover
from stages.manifests.tree import Tree


def check_proof(mode: Mode, wish: tuple[Target, NewImage], tree: Tree, desk: Desk) -> tuple[Check, ...]:
    """Return a failing check where the proof of an edit fails, or what it needs is not there."""
    try:
        Prover(desk, mode)(tree, edit(tree, [wish]), [wish])
    except ManifestRefused as error:
        return (_failed(wish[0], error, Problem.MANIFEST),)
    except ToolMissing as error:
        return (_failed(wish[0], error, Problem.TOOL),)
    return ()


def _failed(target: Target, error: PipelineError, problem: Problem) -> Check:
    found = error.message.removeprefix(f"{target.path} ")
    return Check(subject=f"proof of {target.path}", found=found, problem=problem, advice=error.advice)
