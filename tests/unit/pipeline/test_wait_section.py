"""What pipeline.yaml says of waiting is checked when it is read, and reaches the stage."""

from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_gitops import destination
from pipeline.errors import ConfigurationError
from stages.rollouts.argocd import ArgoCD
from stages.rollouts.cluster import KINDS, Cluster
from stages.rollouts.waiting import Wait

BEGIN = "image: digits\nupdate:\n  repository: https://git.example.com/team/gitops.git\n"
ARGOCD = "argocd: {server: https://argocd.example.com, application: digits"


def written(folder: Path, text: str) -> Path:
    (folder / "pipeline.yaml").write_text(BEGIN + text)
    return folder / "pipeline.yaml"


def test_whom_to_ask_reaches_the_stage_those_who_apply_first(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"  wait:\n    {ARGOCD}, namespace: team, ca_file: ca.pem}}\n"
        "    kubernetes: {kind: InferenceService, name: digits, namespace: models, context: prod}\n"
        "    flux: {name: apps}\n    time_limit_s: 90\n    on_failure: rollback\n",
    )
    server = "https://argocd.example.com"
    assert destination(read_config(path, ())).wait == Wait(
        watchers=(
            ArgoCD(server=server, application="digits", namespace="team", ca_file=tmp_path / "ca.pem"),
            Cluster(kind="Kustomization", name="apps", namespace="flux-system"),
            Cluster(kind="InferenceService", name="digits", namespace="models", context="prod"),
        ),
        time_limit_s=90,
        on_failure="rollback",
    )


def test_by_itself_nobody_waits(tmp_path: Path) -> None:
    assert destination(read_config(written(tmp_path, ""), ())).wait is None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_that_can_be_watched_can_be_written(tmp_path: Path, kind: str) -> None:
    who = "flux" if kind in {"Kustomization", "HelmRelease"} else "kubernetes"
    path = written(tmp_path, f"  wait: {{{who}: {{kind: {kind}, name: digits, namespace: models}}}}\n")
    wait = destination(read_config(path, ())).wait
    assert wait is not None
    assert wait.watchers == (Cluster(kind=kind, name="digits", namespace="models"),)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("  wait: {time_limit_s: 60}\n", "name who is asked: `argocd:`, `flux:` or `kubernetes:`"),
        ("  wait: {argocd: {server: http://argocd.example.com, application: a}}\n", "starts with https://"),
        ("  wait: {kubernetes: {kind: Pod, name: a, namespace: b}}\n", "Deployment"),
        ("  wait: {kubernetes: {name: a/b, namespace: b}}\n", "name"),
        (f"  pull_request: {{}}\n  wait: {{{ARGOCD}}}}}\n", "`wait:` and `pull_request:` exclude each other"),
        (f"  repository: null\n  wait: {{{ARGOCD}}}}}\n", "`wait:` needs `repository:`"),
    ],
)
def test_what_cannot_be_is_an_error_of_the_configuration(tmp_path: Path, text: str, part: str) -> None:
    path = written(tmp_path, text)
    if "repository: null" in text:
        path.write_text(
            path.read_text().replace("  repository: https://git.example.com/team/gitops.git\n", "")
        )
    with pytest.raises(ConfigurationError) as wrong:
        read_config(path, ())
    assert part in f"{wrong.value.message} {wrong.value.advice}"
