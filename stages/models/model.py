"""The weights of an image: their files, and the folder that they get in it."""

from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.model import Check, ModelLayer, Problem
from stages.models.interface import Files
from stages.models.names import image_path, in_order
from stages.oci.known_digests import KnownDigests
from stages.oci.model_groups import group
from stages.oci.model_recipes import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Files of a model, and where they go."""

    files: Files
    path: str
    """Folder in the image."""
    verify: bool = False
    """Read every file again, whatever is remembered of it."""

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Look for the files, and whether all of them can go into layers; no file is read."""
        checks = self.files.check(desk)
        if not all(check.passed for check in checks):
            return checks
        subject = f"model layers for {self.path}"
        try:
            image_path(self.path)
            layers = len(group(in_order(self.files.list(desk))))
        except PipelineError as error:
            problem = Problem.CONFIGURATION if isinstance(error, ConfigurationError) else Problem.REMOTE
            failed = Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
            return (*checks, failed)
        return (*checks, Check(subject=subject, found=str(layers)))

    def layers(self, desk: Desk) -> tuple[ModelLayer, ...]:
        """Return the layers that hold the weights; see `describe` for what it raises."""
        return describe(self.files, self.path, desk, self._known(desk))

    def _known(self, desk: Desk) -> KnownDigests:
        return KnownDigests(desk.cache / "model-digests.json", verify=self.verify)
