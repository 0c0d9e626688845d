"""Pages in headless Chromium, where there is one: what a reader sees and does, under the page's own policy."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WAIT_MS = 4_000  # of virtual time, which passes at once: the text filter waits 120 ms


def ask(page: str, folder: Path, script: str = "") -> Any:
    """Opens a page from `file://`, runs a script on it as a reader would act, and returns what it tells.

    Args:
        page: the text of a page.
        folder: where it may be written.
        script: the body of an asynchronous function, which returns a value of JSON; `wait(ms)` is there.

    Returns:
        The value; of a page on which no script ran, None.
    """
    browser = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium here: what the page does was not looked at")
    told = f"""
      const wait = (ms) => new Promise((done) => setTimeout(done, ms));
      (async () => {{ {script} }})().catch((error) => "fault: " + error).then((value) => {{
        document.documentElement.setAttribute("data-told", JSON.stringify(value === undefined ? null : value));
      }});"""
    digest = base64.b64encode(hashlib.sha256(told.encode()).digest()).decode()
    # the policy stays: the script of the test is let in by its hash, beside the page's own
    page = page.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-", 1)
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"<script>{told}</script></body>", 1), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom",
         f"--virtual-time-budget={_WAIT_MS}", file.as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<html[^>]* data-told="([^"]*)"', done.stdout.decode(errors="replace"))
    return None if found is None else json.loads(html.unescape(found[1]))
