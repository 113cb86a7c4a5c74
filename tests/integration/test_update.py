"""The GitOps repository over real HTTP: edits land, none is lost, and every refusal says what to do."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import (
    BuiltImage,
    Check,
    Descriptor,
    ManifestUpdate,
    PlatformImage,
    Problem,
    PushedImage,
    PushedReference,
    Source,
    Tool,
)
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.commits import Commits
from stages.gitops.destination import Destination
from stages.gitops.repository import Author
from stages.gitops.wording import Wording
from stages.manifests.interface import Target
from stages.update import Update
from tests.support.git_server import GitServer, run_git
from tests.support.git_server import Repository as ServedRepository

COMMIT = "4f9c1d2e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"
REGISTRY = Repository("registry.example.com:5000/team/digits")
OVERLAY = Path(__file__).parents[2] / "examples" / "digits" / "gitops"
CreateRepository = Callable[[Path | None], ServedRepository]


def _digest(text: str) -> Digest:
    return Digest.of(text.encode())


def _made(
    *, digest: Digest | None = None, repository: Repository | None = REGISTRY, root: Path = Path()
) -> Artifacts:
    digest = digest or _digest("new")
    tag, now = Tag(COMMIT), datetime.now(UTC)
    descriptor = Descriptor(media_type="application/json", digest=digest, size_bytes=1)
    platform = PlatformImage(
        platform="linux/amd64", manifest=descriptor, config=descriptor, application_layers=()
    )
    references = (
        (PushedReference(repository=repository, tag=tag, digest=digest, tag_existed=False, duration_s=1.0),)
        if repository
        else ()
    )
    return Artifacts(
        Source(
            root=root, commit=COMMIT, committed_at=now, repository_url="https://git.example.com/ml/digits"
        ),
        BuiltImage(
            name="digits",
            tag=tag,
            digest=digest,
            media_type="application/vnd.oci.image.manifest.v1+json",
            layout=Path("layout"),
            platforms=(platform,),
            revision=COMMIT,
            dirty=False,
            created=now,
            builder=Tool(name="buildx", version="0.29.1"),
        ),
        PushedImage(name="digits", tag=tag, digest=digest, references=references),
    )


def _kustomization(*names: str) -> str:
    entries = "".join(f"- name: {name}\n  newTag: v1 # keep me\n" for name in names)
    return f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n{entries}"


def _write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def _update(
    url: str | None,
    *targets: Target,
    repository: Repository | None = REGISTRY,
    root: Path = Path(),
    **options: object,
) -> Update:
    return Update(
        destination=Destination(
            image="digits",
            repositories=(repository,) if repository else (),
            repository=url,
            targets=targets or (Target(path="apps/digits"),),
            # nothing answers at the registry's name; what is compared is tested in test_order.py
            **{"order": "ignore", **options},  # type: ignore[arg-type]  # the fields of Destination
        ),
        root=root,
    )


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A GitOps tree with a kustomization, a plain manifest and other people's files."""
    manifest = (
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec:\n  jobTemplate:\n    spec:\n"
        "      template:\n        spec:\n          containers:\n"
        f"          - {{name: a, image: '{REGISTRY}:v1'}}\n"
    )
    folder = _write(
        tmp_path / "content",
        {
            "apps/digits/kustomization.yaml": _kustomization(REGISTRY),
            "apps/nightly/job.yaml": manifest,
            "apps/other/kustomization.yaml": _kustomization("nginx"),
            'apps/nightly/"odd"\tnäme.yaml': "apiVersion: v1\nkind: Secret\n",
            "bin/render.sh": "#!/bin/sh\nkubectl kustomize apps/digits\n",
        },
    )
    (folder / "bin/render.sh").chmod(0o755)
    (folder / "apps/digits/kustomization.yaml").chmod(0o755)
    (folder / "apps/link").symlink_to("digits")
    return folder


@pytest.fixture
def remote(create_repository: CreateRepository, content: Path) -> ServedRepository:
    """A served repository with that content."""
    return create_repository(content)


@pytest.fixture
def credentials(git_server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's user and password, as the environment gives them."""
    monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
    monkeypatch.setenv("GITOPS_PASSWORD", git_server.password)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A stage's desk."""
    return _desk(tmp_path / "desk")


def _desk(folder: Path, *, dry_run: bool = False) -> Desk:
    folder.mkdir(parents=True)
    return Desk(folder=folder, cache=folder, run_name="20261122-080000-4f9c1d2e", dry_run=dry_run)


def _all_text(desk: Desk) -> str:
    return "".join(path.read_text() for path in desk.folder.rglob("*") if path.is_file())


def _problems(checks: tuple[Check, ...]) -> list[Problem | None]:
    return [check.problem for check in checks if not check.passed]


# --- landing -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_a_commit_changes_the_image_of_every_target_and_nothing_else(
    remote: ServedRepository, desk: Desk
) -> None:
    before = remote.head()
    targets = Target(path="apps/digits"), Target(path="apps/nightly")

    made = _update(remote.url, *targets).run(_made(), desk)

    new = _digest("new")
    assert "\0" not in _all_text(desk)  # the log is text
    assert (made.status, made.attempts, made.commit) == ("committed", 1, remote.head())
    assert remote.git("rev-parse", f"{remote.head()}^") == before
    assert remote.git("diff", "--name-only", before, remote.head()).split("\n") == [
        "apps/digits/kustomization.yaml",
        "apps/nightly/job.yaml",
    ]
    assert f"  newTag: {COMMIT} # keep me\n  digest: {new}" in remote.read("apps/digits/kustomization.yaml")
    assert f"image: '{REGISTRY}:{COMMIT}@{new}'" in remote.read("apps/nightly/job.yaml")
    assert [file.path for file in made.files] == [
        "apps/digits/kustomization.yaml",
        "apps/nightly/job.yaml",
    ]
    assert "-  newTag: v1 # keep me\n" in made.files[0].diff
    raw = remote.git("diff", "--summary", before, remote.head())
    assert raw == ""  # no mode changed: the executable manifest still is
    remote.git("fsck", "--strict")


@pytest.mark.usefixtures("credentials")
def test_the_message_says_what_is_deployed_for_people_and_for_programs(
    remote: ServedRepository, desk: Desk
) -> None:
    author, made = Author(name="Robot", email="robot@example.com"), _made()
    now = made[Source].committed_at
    _update(remote.url, author=author).run(made, desk)

    new = _digest("new")
    message = remote.git("log", "-1", "--format=%B")
    assert message.splitlines()[0] == f"digits: deploy {COMMIT[:12]} (sha256:{new.short})"
    assert remote.git("log", "-1", "--format=%an <%ae> %cn <%ce>") == (
        "Robot <robot@example.com> Robot <robot@example.com>"
    )
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, capture_output=True, text=True, check=True
    )
    assert parsed.stdout.splitlines() == [
        f"Image: {REGISTRY}:{COMMIT}@{new}",
        "Manifest: apps/digits",
        f"Order-Key: {now:%Y-%m-%dT%H:%M:%SZ} {COMMIT}",
        f"Tag: {COMMIT}",
        f"Digest: {new}",
        f"Source-Commit: {COMMIT}",
        "Source-Repository: https://git.example.com/ml/digits",
        "Pipeline-Run: 20261122-080000-4f9c1d2e",
    ]


@pytest.mark.usefixtures("credentials")
def test_the_users_own_words_stand_above_our_trailers(remote: ServedRepository, desk: Desk) -> None:
    words = Wording(template="deploy({image}): {short_digest}", trailers={"Ticket": "OPS-1"})
    _update(remote.url, commits=Commits(wording=words)).run(_made(), desk)
    message = remote.git("log", "-1", "--format=%B").splitlines()
    assert message[:2] == [f"deploy(digits): {_digest('new').short}", ""]
    trailers = remote.git("log", "-1", "--format=%(trailers:only,unfold)").splitlines()
    assert trailers == message[2:]
    assert f"Digest: {_digest('new')}" in trailers
    assert trailers[-1] == "Ticket: OPS-1"


@pytest.mark.usefixtures("credentials")
def test_the_same_image_again_makes_no_commit(remote: ServedRepository, tmp_path: Path) -> None:
    update = _update(remote.url)
    update.run(_made(), _desk(tmp_path / "first"))
    head = remote.head()

    again = update.run(_made(), _desk(tmp_path / "second"))

    assert (again.status, again.commit, again.files, remote.head()) == ("unchanged", None, (), head)
    assert again.note == f"the manifests name this digest already, at commit {head} of main"


@pytest.mark.usefixtures("credentials")
def test_a_target_behind_a_symbolic_link_is_edited_where_it_lies(
    remote: ServedRepository, desk: Desk
) -> None:
    made = _update(remote.url, Target(path="apps/link")).run(_made(), desk)
    assert [file.path for file in made.files] == ["apps/digits/kustomization.yaml"]
    assert remote.git("ls-tree", "main", "apps/link").startswith("120000 blob")


@pytest.mark.usefixtures("credentials")
def test_kubectl_renders_the_same_but_for_the_image(
    kubectl: str, create_repository: CreateRepository, desk: Desk, tmp_path: Path
) -> None:
    served = create_repository(OVERLAY)
    deployed = Repository("localhost:5001/models/digits")
    target = Target(path="apps/digits/overlays/production")
    before = _rendered(kubectl, served, tmp_path / "before")

    _update(served.url, target, repository=deployed).run(_made(repository=deployed), desk)

    after = _rendered(kubectl, served, tmp_path / "after")
    (old,), (new,) = _images(before), _images(after)
    assert new == f"{deployed}:{COMMIT}@{_digest('new')}"
    assert after == before.replace(old, new)


_HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [deployment.yaml]\n"
_DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: digits}\nspec:\n  template:\n    spec:\n"
    "      containers:\n        - name: server\n          image: digits:old\n"
)


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("kustomization", "target"),
    [
        (
            f"{_HEAD}images:\n- name: digits # as deployment.yaml has it\n  newTag: v1\n",
            Target(path=".", image="digits"),
        ),
        (f"{_HEAD}images:\n- newTag: v1\n  name: digits", Target(path=".", image="docker.io/library/digits")),
        (f"{_HEAD}images: [{{name: digits}}]\n", Target(path=".", image="digits")),
        (
            f"{_HEAD}images: [{{name: digits, newName: 'old.example.com/m/d'}}]\n",
            Target(path=".", image="old.example.com/m/d"),
        ),
        (_HEAD, Target(path="deployment.yaml", image="digits")),
    ],
)
def test_a_cluster_gets_the_pushed_image_whatever_the_manifest_called_it_before(
    kustomization: str,
    target: Target,
    kubectl: str,
    create_repository: CreateRepository,
    tmp_path: Path,
) -> None:
    files = {"kustomization.yaml": kustomization, "deployment.yaml": _DEPLOYMENT}
    served = create_repository(_write(tmp_path / "content", files))
    update = _update(served.url, target)

    for number, text in enumerate(("first", "second")):  # the second finds what the first has replaced
        digest = _digest(text)
        checks = update.check(_desk(tmp_path / f"check-{number}"))
        made = update.run(_made(digest=digest), _desk(tmp_path / f"run-{number}"))

        after = _rendered(kubectl, served, tmp_path / text, overlay=".")
        assert checks[-1].found.endswith(f" gets {REGISTRY}")
        assert (made.status, _images(after)) == ("committed", [f"{REGISTRY}:{COMMIT}@{digest}"])


def _rendered(
    kubectl: str,
    repository: ServedRepository,
    folder: Path,
    overlay: str = "apps/digits/overlays/production",
) -> str:
    folder.mkdir()
    run_git("--git-dir", str(repository.path), "--work-tree", str(folder), "checkout", "-f", "main")
    command = [kubectl, "kustomize", str(folder / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def _images(manifests: str) -> list[str]:
    workloads = [one for one in yaml.safe_load_all(manifests) if one["kind"] == "Deployment"]
    return [c["image"] for one in workloads for c in one["spec"]["template"]["spec"]["containers"]]


# --- races ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_no_write_is_lost_when_many_deliver_at_once(
    create_repository: CreateRepository, tmp_path: Path
) -> None:
    writers = 8
    names = [f"registry.example.com/team/model-{number}" for number in range(writers)]
    files = {f"apps/own-{n}/kustomization.yaml": _kustomization(name) for n, name in enumerate(names)}
    files["apps/shared/kustomization.yaml"] = _kustomization(*names)
    served = create_repository(_write(tmp_path / "content", files))
    barrier = threading.Barrier(writers)

    def deliver(number: int) -> ManifestUpdate:
        repository = Repository(names[number])
        targets = Target(path=f"apps/own-{number}"), Target(path="apps/shared")
        update = _update(served.url, *targets, repository=repository)
        made = _made(digest=_digest(names[number]), repository=repository)
        barrier.wait()
        return update.run(made, _desk(tmp_path / f"desk-{number}"))

    with ThreadPoolExecutor(writers) as pool:
        results = list(pool.map(deliver, range(writers)))

    assert {result.status for result in results} == {"committed"}
    assert served.git("rev-list", "--count", "main") == str(1 + writers)
    history = served.git("rev-list", "main").split()
    assert all(result.commit in history for result in results)
    shared = {e["name"]: e for e in yaml.safe_load(served.read("apps/shared/kustomization.yaml"))["images"]}
    for number, name in enumerate(names):
        (own,) = yaml.safe_load(served.read(f"apps/own-{number}/kustomization.yaml"))["images"]
        assert own["digest"] == shared[name]["digest"] == _digest(name)


@pytest.mark.usefixtures("credentials")
def test_a_lost_race_edits_the_newer_head(
    remote: ServedRepository, content: Path, desk: Desk, tmp_path: Path
) -> None:
    """The hook lets somebody else's commit in between our fetch and our push, once."""
    other = content / "apps/digits/kustomization.yaml"
    other.write_text("# somebody else was here\n" + other.read_text())
    clone = tmp_path / "clone.git"
    shutil.copytree(remote.path, clone)
    theirs = ServedRepository(clone, str(clone)).commit(content, "Their change")
    run_git("--git-dir", str(remote.path), "fetch", "--quiet", str(clone), theirs)
    hook = remote.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    # the quarantine of a push forbids its hooks to move refs
    move = f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {theirs}"
    hook.write_text(f'#!/bin/sh\nif mkdir "$GIT_DIR/raced" 2>/dev/null; then {move}; fi\nexit 0\n')
    hook.chmod(0o755)

    made = _update(remote.url).run(_made(), desk)

    assert (made.status, made.attempts) == ("committed", 2)
    assert remote.git("rev-parse", "main^") == theirs
    text = remote.read("apps/digits/kustomization.yaml")
    assert text.startswith("# somebody else was here")
    assert f"digest: {_digest('new')}" in text


@pytest.mark.usefixtures("credentials")
def test_races_are_given_up_when_the_time_is_up(remote: ServedRepository, desk: Desk) -> None:
    lock = remote.path / "refs/heads/main.lock"  # as if another push never ended
    lock.touch()
    with pytest.raises(RemoteError, match=r"others were quicker \d+ times in 1 s") as caught:
        _update(remote.url, time_limit_s=1.0).run(_made(), desk)
    assert "Run again" in caught.value.advice


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_a_hook_that_declines_is_final_and_is_quoted(remote: ServedRepository, desk: Desk) -> None:
    head = remote.head()
    remote.reject_pushes("policy: production is frozen until Monday")
    with pytest.raises(RemoteError) as caught:
        _update(remote.url).run(_made(), desk)
    assert "pre-receive hook declined" in caught.value.message
    assert "policy: production is frozen until Monday" in caught.value.message
    assert "branch protection" in caught.value.advice
    assert remote.head() == head
    assert (desk.folder / "git.log").read_text().count("$ git push") == 1


@pytest.mark.usefixtures("credentials")
def test_a_remote_that_repeats_the_password_does_not_reveal_it(
    remote: ServedRepository, git_server: GitServer, desk: Desk
) -> None:
    remote.reject_pushes(f"token {git_server.password} is read-only")
    with pytest.raises(RemoteError, match=r"token \*\*\* is read-only") as caught:
        _update(remote.url).run(_made(), desk)
    assert git_server.password not in f"{caught.value.message}{_all_text(desk)}"


@pytest.mark.parametrize("how", ["environment", "address", "none"])
def test_a_wrong_password_is_found_before_any_work_and_never_shown(
    how: str,
    remote: ServedRepository,
    git_server: GitServer,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "not-the-password/&?"
    url = remote.url
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    if how == "environment":
        monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
        monkeypatch.setenv("GITOPS_PASSWORD", secret)
    elif how == "address":
        url = url.replace("://", "://pipeline:not-the-password%2F%26%3F@")

    checks = _update(url).check(desk)
    with pytest.raises(RemoteError) as caught:
        _update(url).run(_made(), desk)

    expected = (
        "asks for credentials and there are none" if how == "none" else "does not accept the credentials"
    )
    assert _problems(checks) == [Problem.REMOTE]
    assert checks[-1].found.startswith(f"the remote {expected}")  # the subject names the remote
    assert remote.url in checks[-1].subject
    assert f"{remote.url}: the remote {expected}" in caught.value.message
    assert "GITOPS_PASSWORD" in checks[-1].advice
    shown = f"{checks}{caught.value.message}{caught.value.advice}{_all_text(desk)}"
    assert "not-the-password" not in shown


def test_a_password_in_the_address_works_and_is_hidden(
    remote: ServedRepository, git_server: GitServer, desk: Desk
) -> None:
    url = remote.url.replace("://", f"://{git_server.username}:{git_server.password}@")
    made = _update(url).run(_made(), desk)
    assert (made.status, made.repository_url) == ("committed", remote.url)
    assert git_server.password not in f"{made.model_dump_json()}{_all_text(desk)}"


@pytest.mark.usefixtures("credentials")
def test_our_credentials_are_not_stored_by_the_users_helpers(
    remote: ServedRepository, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "stored"
    configuration = tmp_path / "gitconfig"
    configuration.write_text(
        f"[credential]\n\thelper = store --file={store}\n[core]\n\thooksPath = {tmp_path}/hooks\n"
        "\tautocrlf = true\n[commit]\n\tgpgSign = true\n[push]\n\tgpgSign = true\n\tfollowTags = true\n"
        "[safe]\n\tbareRepository = explicit\n[color]\n\tui = always\n[i18n]\n\tcommitEncoding = latin1\n"
    )
    for hook in ("pre-push", "reference-transaction"):
        _write(tmp_path, {f"hooks/{hook}": "#!/bin/sh\nexit 1\n"})
        (tmp_path / "hooks" / hook).chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "not a date")

    assert _update(remote.url).run(_made(), desk).status == "committed"
    assert not store.exists()


def test_gits_own_credential_helper_lets_us_in(
    remote: ServedRepository,
    git_server: GitServer,
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = remote.url.removeprefix("http://").partition("/")[0]
    store = tmp_path / "stored"
    store.write_text(f"http://{git_server.username}:{git_server.password}@{host}\n")
    (tmp_path / "gitconfig").write_text(f"[credential]\n\thelper = store --file={store}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert _update(remote.url).run(_made(), desk).status == "committed"


@pytest.mark.usefixtures("credentials")
def test_a_manifest_that_cannot_be_edited_makes_no_commit(remote: ServedRepository, desk: Desk) -> None:
    head = remote.head()
    with pytest.raises(ConfigurationError, match="names no image registry") as caught:
        _update(remote.url, Target(path="apps/digits"), Target(path="apps/other")).run(_made(), desk)
    assert "apps/other/kustomization.yaml:4 nginx:v1" in caught.value.message
    assert remote.head() == head


# --- other servers -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_no_file_is_fetched_but_the_edited_one(remote: ServedRepository, desk: Desk) -> None:
    other = remote.git("rev-parse", "main:bin/render.sh")
    (remote.path / "objects" / other[:2] / other[2:]).unlink()  # whoever asks for it fails
    assert _update(remote.url).run(_made(), desk).status == "committed"


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("protocol", ["0", "2"])
@pytest.mark.parametrize("filters", ["true", "false"])
def test_servers_with_and_without_filters(
    protocol: str,
    filters: str,
    remote: ServedRepository,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote.git("config", "uploadpack.allowFilter", filters)
    remote.git("config", "uploadpack.allowAnySHA1InWant", "false")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", protocol)
    assert _update(remote.url, Target(path="apps/nightly")).run(_made(), desk).status == "committed"


def test_a_repository_on_disk_needs_no_server(remote: ServedRepository, desk: Desk) -> None:
    made = _update(str(remote.path)).run(_made(), desk)
    assert (made.status, made.commit) == ("committed", remote.head())


def test_a_server_that_does_not_answer_is_said_so(desk: Desk) -> None:
    checks = _update("http://127.0.0.1:9/gitops.git").check(desk)
    assert _problems(checks) == [Problem.REMOTE]
    assert checks[-1].found.startswith("the remote cannot be reached")
    assert "http://127.0.0.1:9/gitops.git" in checks[-1].subject


# --- checks and previews -------------------------------------------------------------------------------


@pytest.mark.usefixtures("credentials")
def test_a_check_lists_everything_that_is_wrong_with_the_targets(
    remote: ServedRepository, desk: Desk
) -> None:
    paths = "apps/digits", "apps/other", "apps/missing", "app/digits"
    checks = _update(remote.url, *(Target(path=path) for path in paths)).check(desk)
    assert _problems(checks) == [Problem.MANIFEST] * 3
    assert [check.subject for check in checks][3:] == [f"manifest {path}" for path in paths]
    assert [check.found for check in checks][5:] == ["does not exist"] * 2  # the subject says what
    assert "In apps there is: digits, link, nightly, other." in checks[-2].advice
    assert "In the root there is: apps, bin." in checks[-1].advice


@pytest.mark.usefixtures("credentials")
def test_a_misspelt_branch_is_found_before_any_work(remote: ServedRepository, desk: Desk) -> None:
    checks = _update(remote.url, branch="mian").check(desk)
    assert _problems(checks) == [Problem.CONFIGURATION]
    assert "Did you mean main?" in checks[-1].advice


@pytest.mark.usefixtures("credentials")
def test_an_image_on_this_machine_only_is_not_deployed(remote: ServedRepository, desk: Desk) -> None:
    update = _update(remote.url, repository=None)
    assert _problems(update.check(desk)) == [Problem.CONFIGURATION]
    with pytest.raises(ConfigurationError, match="no cluster can pull"):
        update.run(_made(repository=None), desk)


def test_a_dry_run_shows_the_edit_of_the_remotes_head(
    remote: ServedRepository, git_server: GitServer, tmp_path: Path
) -> None:
    head = remote.head()
    desk = _desk(tmp_path / "desk", dry_run=True)
    update = _update(remote.url)
    assert _problems(update.check(desk)) == []  # no leave to push is needed
    made = update.run(_made(), desk)
    assert (made.status, made.commit, remote.head()) == ("preview", None, head)
    assert f"+  digest: {_digest('new')}" in made.files[0].diff


def test_without_a_repository_the_edit_is_shown_and_nothing_is_written(content: Path, desk: Desk) -> None:
    before = (content / "apps/digits/kustomization.yaml").read_bytes()
    update = _update(None, root=content)
    assert _problems(update.check(desk)) == []
    made = update.run(_made(root=content), desk)
    assert made.status == "preview"
    assert f"+  newTag: {COMMIT} # keep me\n+  digest: {_digest('new')}" in made.files[0].diff
    assert (content / "apps/digits/kustomization.yaml").read_bytes() == before


def test_without_a_registry_an_image_that_is_not_found_stops_nothing(content: Path, desk: Desk) -> None:
    update = _update(None, repository=None, root=content)
    assert update.check(desk) == ()
    made = update.run(_made(repository=None, root=content), desk)
    assert (made.status, made.files) == ("preview", ())
    assert "names no image docker.io/library/digits" in made.note
    with pytest.raises(ConfigurationError):
        update.run(_made(root=content / "apps"), desk)


def test_without_a_registry_the_preview_invents_no_repository(tmp_path: Path, desk: Desk) -> None:
    _write(tmp_path / "content", {"deployment.yaml": _DEPLOYMENT})
    target = Target(path="deployment.yaml", image="digits")
    made = _update(None, target, repository=None).run(_made(repository=None, root=tmp_path / "content"), desk)
    (change,) = made.files[0].fields
    assert (made.status, change.new) == ("preview", f"digits:{COMMIT}@{_digest('new')}")


def test_without_targets_one_line_names_the_setting(desk: Desk) -> None:
    update = Update(destination=Destination(image="digits", repositories=(REGISTRY,)))
    assert update.check(desk) == ()
    made = update.run(_made(), desk)
    assert made.status == "unconfigured"
    assert made.note == "no manifest was updated: none is named in `targets:` of `update:`"


def test_a_repository_without_a_target_is_a_mistake(remote: ServedRepository, desk: Desk) -> None:
    update = Update(destination=Destination(image="digits", repositories=(REGISTRY,), repository=remote.url))
    (check,) = update.check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert "Name the manifest to edit in `targets:`" in check.advice
    with pytest.raises(ConfigurationError, match="no target"):
        update.run(_made(), desk)


def test_a_kustomization_without_an_entry_is_told_the_whole_entry(
    kubectl: str, tmp_path: Path, desk: Desk
) -> None:
    folder = _write(tmp_path / "content", {"kustomization.yaml": _HEAD, "deployment.yaml": _DEPLOYMENT})
    update = _update(None, Target(path=".", image="digits"), root=folder)
    (check,) = update.check(desk)
    (folder / "kustomization.yaml").write_text(_HEAD + check.advice.partition("\n")[2])

    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True)

    assert _images(done.stdout) == [f"{REGISTRY}:none-yet"]
    assert _problems(update.check(desk)) == []
