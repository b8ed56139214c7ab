"""How a program that serves a model lives with the process that started it (`model_process.py`)."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any

_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


def begin() -> dict[str, Any]:
    """Return the settings, which are the program's argument as JSON, and from now on end with the owner only."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    die_with(settings["owner"])
    # Ctrl-C in a terminal reaches the whole process group; the owner decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return settings


def say_ready(url: str) -> None:
    """Tell the owner the server's address, the last thing that is written."""
    print(f"READY {url}", flush=True)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # nobody reads the pipes any more
    os.dup2(null, 2)


def die_with(owner: int) -> None:
    """End this process when the process `owner` ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    # Also where the kernel helps: the owner may have died before the call above.
    threading.Thread(target=watch, daemon=True).start()
