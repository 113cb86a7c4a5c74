"""Deliver machine-learning model images: test, build, scan, benchmark, push, update the manifest."""

__version__ = "0.1.0"
PROJECT = "model-image-pipeline/model-image-pipeline"
"""The repository of the action and of the component; the guides and examples name the same."""
