"""Program: serves one GGUF file with OpenVINO's continuous batching, and dies with the process that started it.

Started by `model_process.py`, as `llama_server.py` is, and told the same settings. OpenVINO brings no server, so this
is one: the chat completions route of the OpenAI protocol, one sample a request. One thread owns the model; the threads
of the connections hand it their requests and wait. A request whose client has gone is dropped, so that candidates that
are given up early stop costing.
"""

from __future__ import annotations

import json
import queue
import select
import socket
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from w4s_gym.executors.serving import begin, say_ready

_BLOCK = 32
"""Tokens in a block of the cache of keys and values."""
_LOOK_SECONDS = 0.5
_ALL = 10**9
"""Candidates for the next token: `top_k` switched off."""


_JSON = r"""
space ::= "" | " " | "\n" | "\n  " | "\n    "
string ::= "\"" rest
rest ::= "\"" | [^"\\\x00-\x1f] rest | "\\" escape rest
escape ::= ["\\/bfnrt] | "u" hex hex hex hex
hex ::= [0-9A-Fa-f]
"""


def object_grammar(keys: Iterable[str]) -> str:
    """Return the grammar of a JSON object with these keys, in their order, and strings as values.

    The engine's own reading of a JSON schema allows white space without end between the parts, and small models at
    times write nothing else until their limit. Strings are a recursion: with a repetition in its place, or as a regular
    expression, a step of 8 samples takes more than twice as long.
    """
    names = (json.dumps(f"{json.dumps(key, ensure_ascii=False)}:", ensure_ascii=False) for key in keys)
    pairs = ' "," space '.join(f"{name} space string" for name in names)
    return f'root ::= "{{" space {pairs} space "}}"{_JSON}'


class TooLong(ValueError):
    """The prompt leaves no room in the context."""


class Job:
    """A request on its way through the engine."""

    def __init__(self, body: dict[str, Any]) -> None:
        """Take the body of a request."""
        self.body = body
        self.done = threading.Event()
        self.gone = False
        self.reply: dict[str, Any] = {}
        self.error: Exception | None = None
        self.handle: Any = None
        self.prompt_tokens = 0

    def refuse(self, error: Exception) -> None:
        """End without a reply."""
        self.error = error
        self.done.set()


class Engine:
    """Owns the model: takes jobs from a queue and decodes up to `slots` of them together."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Load and compile the model."""
        import openvino_genai

        self._genai = openvino_genai
        self._context = settings["context"]
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.max_num_seqs = settings["slots"]
        scheduler.num_kv_blocks = settings["slots"] * (-(-self._context // _BLOCK) + 1)
        scheduler.enable_prefix_caching = settings["reuse_prompts"]
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            settings["gguf"], scheduler, "CPU", {"INFERENCE_NUM_THREADS": settings["threads"]}
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self.jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def run(self) -> None:
        """Decode for ever."""
        running: list[Job] = []
        number = 0
        while True:
            while not running or not self.jobs.empty():
                job = self.jobs.get()
                number += 1
                if not job.gone and self._begin(job, number):
                    running.append(job)
            self._pipeline.step()
            running = [job for job in running if not self._ended(job)]

    def _begin(self, job: Job, number: int) -> bool:
        try:
            prompt = self._tokenizer.apply_chat_template(job.body["messages"], add_generation_prompt=True)
            tokens = self._tokenizer.encode(prompt, add_special_tokens=False).input_ids
            job.prompt_tokens = tokens.shape[1]
            job.handle = self._pipeline.add_request(number, tokens, self._config(job))
            return True
        except Exception as error:  # whatever it is, it is this request's: the client is told
            job.refuse(error)
            return False

    def _config(self, job: Job) -> Any:
        room = self._context - job.prompt_tokens
        if room < 1:
            raise TooLong(
                f"the prompt of {job.prompt_tokens} tokens exceeds the context size of {self._context} tokens"
            )
        body = job.body
        if body.get("tools"):
            raise ValueError("the engine openvino serves no tool calls; the engine llama.cpp does")
        config = self._genai.GenerationConfig()
        config.max_new_tokens = min(room, body.get("max_tokens") or room)
        config.do_sample = body.get("temperature", 1.0) > 0
        if config.do_sample:
            config.temperature = body.get("temperature", 1.0)
            config.top_p = body.get("top_p", 1.0)
            config.top_k = _ALL
            config.rng_seed = body.get("seed", 0)
        wanted = body.get("response_format")
        if wanted is not None and wanted["type"] == "json_schema":
            keys = wanted["json_schema"]["schema"]["properties"]
            config.structured_output_config = self._genai.StructuredOutputConfig(grammar=object_grammar(keys))
        return config

    def _ended(self, job: Job) -> bool:
        if job.gone:
            job.handle.cancel()
            return True
        status = job.handle.get_status().name
        if status == "RUNNING":
            return False
        if status != "FINISHED":
            job.refuse(RuntimeError(f"OpenVINO gave the request up: {status}"))
            return True
        (output,) = job.handle.read_all()
        ids = list(output.generated_ids)
        cut = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        message = {"role": "assistant", "content": self._tokenizer.decode(ids)}
        job.reply = {
            "choices": [{"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}],
            "usage": {
                "prompt_tokens": job.prompt_tokens,
                "completion_tokens": len(ids),
                "total_tokens": job.prompt_tokens + len(ids),
            },
        }
        job.done.set()
        return True


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(404, {"error": {"message": f"expected /v1/chat/completions; got {self.path}"}})
            return
        job = Job(body)
        self.engine.jobs.put(job)
        while not job.done.wait(_LOOK_SECONDS):
            if self._client_left():
                job.gone = True
                self.close_connection = True
                return
        if job.error is not None:
            kind = "exceed_context_size_error" if isinstance(job.error, TooLong) else "invalid_request_error"
            self._send(400, {"error": {"message": str(job.error), "type": kind, "code": 400}})
        else:
            self._send(200, {"object": "chat.completion", "model": body.get("model", "local"), **job.reply})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        written = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 512


def main() -> None:
    """Serve until killed."""
    Handler.engine = Engine(begin())
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say_ready(f"http://127.0.0.1:{server.server_port}")
    Handler.engine.run()


if __name__ == "__main__":
    main()
