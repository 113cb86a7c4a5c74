"""What is allowed: pure functions of evidence, without any input or output of their own."""

from policies.load import files_of, load_policies
from policies.pack import packs
from policies.rules import RULES

__all__ = ["RULES", "files_of", "load_policies", "packs"]
