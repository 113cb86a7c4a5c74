"""Renderings of a record: each reads the record and nothing else."""
