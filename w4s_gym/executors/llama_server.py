"""Program: serves one GGUF file with llama.cpp's OpenAI-compatible server, and dies with the process that started it.

Started by `model_process.py` as a process of its own, so that a crash of the native code harms no run. Argument: the
settings as JSON. Output: one line, `READY <url>`; or a traceback on standard error.
"""

from __future__ import annotations

import threading

from w4s_gym.executors.serving import begin, say_ready


def main() -> None:
    """Serve until killed."""
    settings = begin()

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
    say_ready(server.listening_address)
    threading.Event().wait()


if __name__ == "__main__":
    main()
