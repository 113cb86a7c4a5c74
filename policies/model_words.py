"""The words that the scanner of model files has: a misspelt one in a rule would refuse nothing."""

import difflib
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated, get_args

from pydantic import AfterValidator

from pipeline.model import FindingKind
from policies.rule import Word

KINDS: tuple[str, ...] = get_args(FindingKind)
_CODES = """
    archive-bomb archive-checksum archive-duplicate archive-link archive-name archive-path archive-size
    archive-sparse compression damaged embedded-pickle encrypted gguf-bounds gguf-duplicate gguf-version
    hdf5-compressed-attributes joblib-array json json-deep json-duplicate keras-code keras-custom-object
    keras-escaped keras-file-access keras-parted nested-too-deep npy-header npy-version onnx-external-data
    onnx-python pickle-address pickle-buffers pickle-build pickle-call pickle-computed-bytes
    pickle-computed-name pickle-extension pickle-import pickle-memo pickle-number pickle-opcode
    pickle-persistent-id pickle-protocol pickle-stack pickle-text pickle-type pickle-unlisted-import polyglot
    protobuf safetensors-header safetensors-hole safetensors-overlap safetensors-tensor scanner-failed
    skops-call template-escape tensorflow-operator tensorflow-text time-limit too-large too-many-findings
    too-many-members torchscript-file-access trailing-data truncated yaml-python zip-disks zip-hidden-data
    zip-method zip-mismatch zip-offset zip-overlap
    """
_FORMATS = """
    safetensors onnx tensorflow-saved-model tensorflow-graph tensorflow-checkpoint-index tensorflow-variables
    tensorflow-text sentencepiece keras keras-hdf5 hdf5 gguf torch torchscript torch-legacy torch-mar pickle
    joblib npy npz skops xgboost-binary xgboost-json xgboost-ubj lightgbm catboost tflite openvino tensorrt
    xml json text python shell image zip tar empty unknown
    """
CODES, FORMATS = tuple(_CODES.split()), tuple(_FORMATS.split())


def _known(value: str, words: Collection[str], what: str) -> str:
    if any(fnmatchcase(word, value) for word in words):
        return value
    near = difflib.get_close_matches(value, words, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"the scanner has no {what} of this name{hint}")


def _finding(value: str) -> str:
    return _known(value, (*KINDS, *CODES), "finding")


def _format(value: str) -> str:
    return _known(value, FORMATS, "format")


Finding = Annotated[Word, AfterValidator(_finding)]
"""A kind or a code of findings, or a pattern of some."""
Format = Annotated[Word, AfterValidator(_format)]
"""A format of files, or a pattern of some."""
