"""The nouns that flow through a run, one file for each stage, in the order in which they appear.

Everything is frozen and knows its units. An `Artifact` is what a stage makes; `Evidence` is an
artifact that only tells something about an image, so a stated reason (`Skipped`) may stand for it.
"""

from pipeline.model.base import Artifact, Evidence, Skipped, Tool, Value
from pipeline.model.benchmark import BenchmarkReport, ColdStart, Latency
from pipeline.model.image import (
    BaseImage,
    BuildSteps,
    BuiltImage,
    Descriptor,
    Image,
    ModelFile,
    ModelImage,
    ModelLayer,
    PlatformImage,
)
from pipeline.model.judging import Level, Reason, Verdict
from pipeline.model.planning import Check, DiskForecast, DiskNeed, Problem
from pipeline.model.push import (
    FailedPush,
    ImageTag,
    Pushed,
    PushedBlob,
    PushedImage,
    PushedReference,
    RegistryEvidence,
)
from pipeline.model.scan import (
    FoundBy,
    RegistryAnswer,
    RegistryScan,
    ScanReport,
    Severity,
    Unjudged,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.model.source import Source
from pipeline.model.suite import CaseCounts, CaseFailure, SlowTest, SuiteReport
from pipeline.model.update import (
    ChangeRequest,
    FieldChange,
    FileChange,
    ManifestUpdate,
    Proof,
    Rollout,
    StandingImage,
)

__all__ = [
    "Artifact",
    "BaseImage",
    "BenchmarkReport",
    "BuildSteps",
    "BuiltImage",
    "CaseCounts",
    "CaseFailure",
    "ChangeRequest",
    "Check",
    "ColdStart",
    "Descriptor",
    "DiskForecast",
    "DiskNeed",
    "Evidence",
    "FailedPush",
    "FieldChange",
    "FileChange",
    "FoundBy",
    "Image",
    "ImageTag",
    "Latency",
    "Level",
    "ManifestUpdate",
    "ModelFile",
    "ModelImage",
    "ModelLayer",
    "PlatformImage",
    "Problem",
    "Proof",
    "Pushed",
    "PushedBlob",
    "PushedImage",
    "PushedReference",
    "Reason",
    "RegistryAnswer",
    "RegistryEvidence",
    "RegistryScan",
    "Rollout",
    "ScanReport",
    "Severity",
    "Skipped",
    "SlowTest",
    "Source",
    "StandingImage",
    "SuiteReport",
    "Tool",
    "Unjudged",
    "Value",
    "Verdict",
    "Vulnerability",
    "VulnerabilityDatabase",
]
