"""Hide secrets in the arguments of this process, which other users of the machine can see."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable
from pathlib import Path

# Numbers of the fields arg_start and arg_end of /proc/PID/stat (man 5 proc).
_START, _END = 48, 49
_FIRST_FIELD = 3
"""The first field after the name, which may contain spaces."""


def hide_in_arguments(secrets: Iterable[str]) -> None:
    """Overwrite each secret with `*` where the system reads the arguments; only on Linux."""
    with contextlib.suppress(OSError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = (int(fields[number - _FIRST_FIELD]) for number in (_START, _END))
        arguments = Path("/proc/self/cmdline").read_bytes()
        if not 0 < len(arguments) == end - start:
            return  # The title was changed by a program such as setproctitle.
        for secret in map(str.encode, secrets):
            position = arguments.find(secret)
            while position >= 0:
                ctypes.memset(start + position, ord("*"), len(secret))
                position = arguments.find(secret, position + 1)
