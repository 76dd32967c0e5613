"""The cache of compiled kernels on disk, whose errors cost time and never a training.

Numba raises an error when the disk of its cache is full, and when a cached file is damaged or
belongs to another user. Here a kernel is compiled again instead.
"""

from __future__ import annotations

import contextlib
from typing import Any

from numba.core.caching import FunctionCache


class KernelCache(FunctionCache):
    """The cache of one kernel.

    Raises:
        RuntimeError: when there is no folder for it.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return a compiled kernel; None when it is missing or cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # A damaged file can raise any error.
            # The files are written again by the next `save_overload`.
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled kernel, unless the system refuses."""
        # Another process may have left a damaged index.
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)
