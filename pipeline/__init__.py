"""Deliver machine-learning model images: test, build, scan, benchmark, push, update the manifest."""

__version__ = "0.1.0"
