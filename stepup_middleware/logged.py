"""The library's loggers: a line a second of each kind, so that a flood of requests is no flood of lines.

A failure that comes back at each event or minute until somebody mends it is told with ``extra=SELDOM``, once in five
minutes.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from time import monotonic
from types import MappingProxyType

PAUSE_SECONDS = 1.0
SELDOM: Mapping[str, object] = MappingProxyType({"stepup_pauses": 300})
DIFFERENT = 8  # lines that one place in the code may write in that time, where they differ


class OneASecond(logging.Filter):
    """Lets a warning or an error pass once a second; the next from the same place tells how many were held back.

    When a store is down every request meets the same fault: a line for each says no more than one, and fills the disk.
    Lines that differ, such as those about two witnesses, are a few from each place. Critical ones always pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._said: dict[tuple[str, int], dict[str, float]] = {}  # when, by place and message
        self._held_back: Counter[tuple[object, ...]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about a line, and add to it what was held back before it."""
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        place, message, now = (record.pathname, record.lineno), record.getMessage(), monotonic()
        pauses = getattr(record, "stepup_pauses", 1)
        counted = place if pauses == 1 else (*place, message)  # what one sink was refused, another was not
        pause = pauses * PAUSE_SECONDS
        with self._lock:
            said = {text: at for text, at in self._said.get(place, {}).items() if now - at < pause}
            self._said[place] = said
            if message in said or len(said) >= DIFFERENT:
                self._held_back[counted] += 1
                return False
            said[message] = now
            held_back = self._held_back.pop(counted, 0)
        if held_back:
            record.msg = f"{record.msg} (and {held_back} more like this since the last line)"
        return True


def get_logger(name: str) -> logging.Logger:
    """Return a logger of the library. An app may set its level and handlers as those of any other."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, OneASecond) for each in logger.filters):
        logger.addFilter(OneASecond())
    return logger
