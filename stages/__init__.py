"""What is done: one file per stage, in the order in which the data flows."""

from stages.attest import Attest
from stages.benchmark import Benchmark
from stages.build import Build
from stages.push import Push
from stages.scan import Scan
from stages.test import Suite
from stages.update import Update

DELIVERY = (Suite, Build, Scan, Benchmark, Push, Attest, Update)
