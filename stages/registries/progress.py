"""What is shown of several registries side by side: a line for each, so that none hides the others."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.desk import Say


@dataclass(slots=True)
class SideBySide:
    """Keeps the newest line of each registry, and says all of them whenever one changes."""

    say: Say
    _lines: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, number: int) -> Say:
        """Return what one registry says its progress with; only its first line has room beside others."""

        def say(text: str) -> None:
            with self._lock:
                self._lines[number] = text.partition("\n")[0]
                self.say("\n".join(self._lines[each] for each in sorted(self._lines)))

        return say


def beside(count: int, say: Say) -> Callable[[int], Say]:
    """Return what each of so many registries says its progress with; a single one has all the room."""
    return SideBySide(say).of if count > 1 else lambda _: say
