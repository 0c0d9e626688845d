"""The process in which llama.cpp runs: beside torch in one process it has crashed.

Standard input brings one line of JSON, `Settings`, and then nothing: its end, however it comes, ends this process, so that it
outlives nobody. One line of JSON on standard output says where the server listens, or why it cannot. All that
llama.cpp prints goes to standard error, which is a file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """What is loaded, and how it is served.

    Attributes:
        path: a GGUF file.
        num_slots: sequences that are computed side by side.
        num_positions: tokens of each.
        num_threads: of the processor.
        key: whoever asks has to name it.
        log_folder: where standard error goes; it is removed with a parent that could not remove it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: Path
    num_slots: int
    num_positions: int
    num_threads: int
    key: str
    log_folder: Path


def _end_with_parent(log_folder: Path) -> None:
    while os.read(0, 4096):
        pass
    shutil.rmtree(log_folder, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """Loads the model, says where it is served, and waits for the end of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends a reply; the process that asks decides what else
    news = os.dup(1)
    os.dup2(2, 1)
    line = b""
    while not line.endswith(b"\n"):
        if not (block := os.read(0, 4096)):
            return
        line += block
    settings = Settings.model_validate_json(line)
    watch = threading.Thread(target=_end_with_parent, args=(settings.log_folder,), daemon=True)
    watch.start()

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(settings.path)
    params.n_parallel = settings.num_slots
    params.n_ctx = settings.num_slots * settings.num_positions
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.num_threads
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [settings.key]
    params.ui = params.warmup = params.endpoint_slots = params.enable_chat_template = False
    params.chat_template, params.use_jinja = (
        "chatml",
        False,
    )  # never used: the file's own would be read, and may refuse to be
    params.cache_ram_mib = 0  # prompts that were pushed out are computed again: what is kept would depend on the past
    params.n_ctx_checkpoints = 0
    params.fit_params = False  # sizes are ours, not those that memory happens to allow
    params.offline = True
    params.verbosity = 1  # errors: each request would print seven lines
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # whatever a stranger's file brings about
        _tell(news, error=" ".join(str(error).split()) or type(error).__name__)
        return
    _tell(news, address=server.listening_address)
    watch.join()


def _tell(news: int, **what: str) -> None:
    os.write(news, (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    main()
