"""Chromium without a window, told what to do over its pipe, and what it asked for and complained about."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

import pytest

NEEDS_CHROMIUM = pytest.mark.skipif(
    not shutil.which("chromium"), reason="needs chromium: apt-get install chromium"
)
COMMAND = ("chromium", "--headless", "--no-sandbox", "--disable-gpu")
# Only this machine has an address, and its camera is a made-up one.
LOCAL = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


class Browser:
    """One page. `requests` are the addresses that it asked for, `complaints` what went wrong in its script.

    Commands are those of the Chrome DevTools Protocol, which a pipe carries as JSON with a zero byte behind.
    """

    def __init__(self, folder):
        self.requests, self.complaints = [], []
        self._answers, self._number = Queue(), 0
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        command = [*COMMAND, *LOCAL, *CAMERA, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        start = (
            f"import os, sys; os.dup2({read}, 3); os.dup2({write}, 4); os.execvp(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", f"import os, sys; {start}", *command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._session = None
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.do(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        self._listener.join()
        os.close(self._to)
        os.close(self._from)

    def _listen(self):
        rest = b""
        while piece := os.read(self._from, 1 << 20):
            *messages, rest = (rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                self._hear(message)

    def _hear(self, message):
        about = message.get("params", {})
        match message.get("method"):
            case None:
                self._answers.put(message)
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Log.entryAdded" if about["entry"]["source"] != "network":  # a refusal is none
                self.complaints.append(str(about["entry"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(about["args"]))

    def do(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        try:
            answer = self._answers.get(timeout=60)
        except Empty:
            pytest.fail(f"the browser does not answer to {method}")
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def js(self, expression):
        """The value of an expression, or of its promise."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression, seconds=60):
        """Wait until an expression is true, and return what it is."""
        end = time.monotonic() + seconds
        while not (found := self.js(expression)):
            assert time.monotonic() < end, f"never: {expression}\n{self.js('document.body.innerText')}"
            time.sleep(0.03)
        return found

    def open(self, address):
        self.do("Page.navigate", url=address)
        self.until(f"document.readyState === 'complete' && location.href.startsWith('{address}')")

    def choose(self, selector, path):
        """Have a file input hold a file."""
        document = self.do("DOM.getDocument")["root"]["nodeId"]
        node = self.do("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.do("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key):
        """Press and leave a key, such as Tab or Enter."""
        codes = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "ArrowDown": (40, "")}
        code, text = codes[key]
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.do("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def faults(self):
        """What axe-core finds serious, and what is too wide, at two widths in light and in dark."""
        axe = importlib.util.find_spec("axe_core_python").origin  # of the extra `dev`
        self.js(Path(axe).with_name("axe.min.js").read_text(encoding="utf-8"))
        found = []
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            self.do("Emulation.setEmulatedMedia", features=[feature])
            for pixels in (400, 1280):
                self.wide(pixels)
                violations = self.js("axe.run().then(({violations}) => violations)")
                serious = [each for each in violations if each["impact"] in ("serious", "critical")]
                found += [(scheme, pixels, each["id"], each["nodes"][0]["html"]) for each in serious]
                if self.js("document.documentElement.scrollWidth") > pixels:
                    found.append((scheme, pixels, "wider than the window"))
        return found

    def wide(self, pixels):
        self.do(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=False
        )


@contextlib.contextmanager
def browsing(folder):
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
