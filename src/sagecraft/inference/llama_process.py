"""The side of llama.cpp that asks: starts the process, asks it over the loopback interface, starts it once more if it dies."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sagecraft import console
from sagecraft.errors import MachineError, UserError
from sagecraft.inference.llama_worker import Settings

#: A model is mapped, not read, when it is loaded: seconds at most, and half a minute for a hundred gigabytes on a slow disk.
_LOAD_SECONDS = 120.0
_LOAD_BYTES_PER_SECOND = 50e6
#: Of what the process printed, as much as a message shows.
_SHOWN_CHARS = 200


class LlamaProcess:
    """A server that this process alone knows of.

    Raises:
        UserError: llama.cpp is not installed, or cannot load the file.
        MachineError: it was killed while it loaded, or takes too long.
    """

    def __init__(self, path: Path, num_slots: int, num_positions: int, num_threads: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sagecraft-llama-"))
        self.settings = Settings(
            path=path.resolve(),
            num_slots=num_slots,
            num_positions=num_positions,
            num_threads=num_threads,
            key=secrets.token_hex(16),
            log_folder=self._folder,
        )
        self.path = path
        #: What llama.cpp prints; it stays where the process died twice.
        self.log = self._folder / "llama.log"
        self._keep_log = False
        self._lock = threading.Lock()  # a server makes prompts of one request while it answers another
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: http.client.HTTPConnection | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", "sagecraft.inference.llama_worker"]
        # its threads would wait for each other spinning, and one that loses its core to other work then costs ten times: with two
        # on two shared cores a prompt of 60 tokens took 1.8 s, and 0.4 to 1.1 s asleep, under more load
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it says why it died
            process.stdin.write(self.settings.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        patience = _LOAD_SECONDS + self.path.stat().st_size / _LOAD_BYTES_PER_SECOND
        alarm = threading.Timer(patience, process.kill)
        alarm.daemon = True
        alarm.start()
        line = process.stdout.readline()
        is_late = not alarm.is_alive()
        alarm.cancel()
        told = json.loads(line) if line.endswith(b"\n") else {}
        if "address" in told:
            place = urlsplit(told["address"])
            self._connection = http.client.HTTPConnection(place.hostname or "", place.port)
            return
        if is_late:
            raise MachineError(f"{self.path}: llama.cpp did not load it within {patience:.0f} s; is the disk slow?")
        self._refuse(told.get("error"), process.wait())

    def _refuse(self, error: str | None, code: int) -> None:
        """Says why the model could not be loaded."""
        said = self._last_words()
        if error is None and code == -signal.SIGKILL:
            raise MachineError(f"{self.path}: llama.cpp was killed while it loaded; is there memory for the model?")
        why = said or error or f"it died with exit code {code}"
        raise UserError(f"{self.path}: llama.cpp cannot load this file ({why}); fetch it again or take another")

    def _last_words(self) -> str:
        """The first error that llama.cpp printed, else nothing."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            mark, _, text = line.partition(" E ")
            if text and mark.replace(".", "").isdigit():
                return console.plain_text(" ".join(text.split()))[:_SHOWN_CHARS]
        return ""

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """What the server answers; a process that died is started once more, and asked again.

        Raises:
            MachineError: it died twice of this request, or refuses it.
        """
        with self._lock:
            try:
                return self._ask(path, body)
            except (OSError, http.client.HTTPException):
                console.warn(f"{self.path.name}: llama.cpp died ({self._ended()}); it is started once more")
            try:
                self._start()
                return self._ask(path, body)
            except (OSError, http.client.HTTPException) as error:
                self._keep_log = True
                raise MachineError(
                    f"{self.path}: llama.cpp died twice of one request ({self._ended()}); what it printed is in {self.log}"
                ) from error

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        assert self._connection is not None
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.settings.key}"}
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            response = self._connection.getresponse()
            data = response.read()
        except BaseException:  # Ctrl-C too: a connection in the middle of an answer takes no further request
            self._connection.close()
            raise
        if response.status != 200:
            said = console.plain_text(" ".join(data.decode("utf-8", "replace").split()))[:_SHOWN_CHARS]
            raise MachineError(f"{self.path}: llama.cpp refuses a request ({response.status}: {said})")
        return json.loads(data)

    def _ended(self) -> str:
        """How the process ended, which it does now if it has not."""
        assert self._process is not None
        self._stop()
        return f"exit code {self._process.returncode}"

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)  # it may be about to die by itself, and that code is the one to tell
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """Ends the process and removes its log."""
        if self._process is not None:
            self._process.kill()
        self._stop()
        if not self._keep_log:
            shutil.rmtree(self._folder, ignore_errors=True)
