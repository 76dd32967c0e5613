"""End a worker process when the process of the search has died.

A worker that trains or loads its libraries does not notice that its pipe is closed. A thread asks
the system every second. It imports the standard library only, so that it runs before the libraries
are loaded.
"""

from __future__ import annotations

import os
import threading
import time

ASK_EVERY_S = 1.0


def end_with(pid: int) -> None:
    """End this process within about a second of the end of its parent.

    Where the system reports no new parent (Windows), the closed pipe alone ends the process.

    Args:
        pid: the parent, which starts this process.
    """
    threading.Thread(target=_wait_for_end, args=(pid,), daemon=True).start()


def _wait_for_end(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(ASK_EVERY_S)
    os._exit(1)
