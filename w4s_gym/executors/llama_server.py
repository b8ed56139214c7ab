"""Program: serves one GGUF file with llama.cpp's OpenAI-compatible server, and dies with the process that started it.

Started by `model_process.py` as a process of its own, so that a crash of the native code harms no run. Argument: the
settings as JSON. Output: one line, `READY <url>`; or a traceback on standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time

_WATCH_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


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


def main() -> None:
    """Serve until killed."""
    settings = json.loads(sys.argv[1])
    die_with(settings["owner"])
    # Ctrl-C in a terminal reaches the whole process group; the owner decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["gguf"]
    params.model_alias = "local"
    if settings["adapter"]:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(settings["adapter"], 1.0)]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"] * settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cpuparams.poll = 0  # waiting threads sleep: spinning starves everybody on a busy machine
    params.cpuparams_batch.poll = 0
    params.cache_ram_mib = 0  # else 1.5 GB of old prompts are kept
    params.cache_prompt = settings["reuse_prompts"]
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(f"READY {server.listening_address}", flush=True)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # nobody reads the pipes any more
    os.dup2(null, 2)
    threading.Event().wait()


if __name__ == "__main__":
    main()
