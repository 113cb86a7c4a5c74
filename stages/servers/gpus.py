"""GPUs under load, as nvidia-smi tells; nothing where that program is not on this machine."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType
from typing import Self

from pipeline import process
from pipeline.model import GpuUse
from pipeline.process import Command

PROGRAM = "nvidia-smi"
QUERY = (PROGRAM, "--query-gpu=uuid,name,memory.used,utilization.gpu", "--format=csv,noheader,nounits")
SAMPLE_EVERY_S = 1.0
MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Sample:
    """One GPU at one moment; 0 where it does not tell."""

    gpu: str
    name: str
    memory_bytes: int
    utilisation: float


class GpuWatch:
    """Samples every GPU of this machine for as long as the `with` block lasts, if it is `wanted`."""

    def __init__(self, *, wanted: bool) -> None:
        self._samples: list[Sample] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="gpus", daemon=True)
        self._wanted = wanted and shutil.which(PROGRAM) is not None

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._wanted:
            self._thread.join()

    def used(self) -> tuple[GpuUse, ...]:
        """Return what each GPU was used."""
        return used(self._samples)

    def _go_on(self) -> None:
        while True:
            outcome = process.run(Command(arguments=QUERY, timeout_s=10))
            self._samples += parse(outcome.stdout) if outcome.succeeded else ()
            if self._end.wait(SAMPLE_EVERY_S):
                return


def parse(text: str) -> Iterator[Sample]:
    """Yield what nvidia-smi says, one line for each GPU: uuid, name, MiB, per cent."""
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) == 4:
            gpu, name, memory, share = words
            yield Sample(gpu, name, int(_number(memory) * MEBIBYTE), _number(share) / 100)


def used(samples: list[Sample]) -> tuple[GpuUse, ...]:
    """Return the peak of the memory and the mean of the utilisation of each GPU."""
    return tuple(
        GpuUse(
            name=next(each.name for each in samples if each.gpu == gpu),
            peak_memory_bytes=max(each.memory_bytes for each in samples if each.gpu == gpu),
            mean_utilisation=fmean(each.utilisation for each in samples if each.gpu == gpu),
        )
        for gpu in dict.fromkeys(each.gpu for each in samples)
    )


def _number(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdecimal() else 0.0
