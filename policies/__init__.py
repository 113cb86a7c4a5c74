"""What is allowed: pure functions of evidence, without any input or output of their own."""

from policies.load import load_policies

__all__ = ["load_policies"]
