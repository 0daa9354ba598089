"""examples/serve.py: answers as `predict`, errors as text, no request lost, and a graceful end."""

import http.client
import importlib.util
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import keras
import pytest

import hostile
import trees
from keras_actrec import _backend, data, zoo
from keras_actrec.recognizer import Recognizer

PROGRAM = Path(__file__).parents[1] / "examples/serve.py"
PLACES = 48
NAMES = ("clap", "sit", "wave")
OF_THE_DISK = (hostile.no_permission, hostile.name_in_another_encoding)  # and not of what is in the file

pytestmark = [
    pytest.mark.skipif(
        _backend.name != "torch", reason="it starts one server, on the backend that starts first"
    ),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("starlette", "uvicorn"))), reason="needs the extra `serve`"
    ),
]


class Server:
    """A running one, of a small model."""

    def __init__(self, folder):
        keras.utils.set_random_seed(0)
        clip = keras.Input((3, 16, 16, 3), name="clip")
        maps = keras.layers.GlobalAveragePooling3D()(keras.layers.Dense(8, "tanh")(clip / 64.0 - 2.0))
        model = keras.Model(clip, keras.layers.Dense(3, "softmax", name="classifier")(maps), name="small")
        look = data.ClipPreprocessor(data.Sampling(3), data.ClipTransform(16))
        self.recognizer = Recognizer(model, NAMES, look, spec=zoo.spec("tsm").built({}))
        self.recognizer.save(folder / "model.keras")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # Fewer frames, and bytes, than a video may have, to try what has more, and fewer places.
        program = PROGRAM.read_text(encoding="utf-8")
        for limits, small in (("64_000_000, 3000", "1_000_000, 300"), ("16, 256, 30", f"16, {PLACES}, 5")):
            assert limits in program
            program = program.replace(limits, small)
        (folder / "serve.py").write_text(program, encoding="utf-8")
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, folder / "serve.py", folder / "model.keras", str(self.port)],
                env={**os.environ, "KERAS_BACKEND": "torch"},
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            try:
                if self.ask("GET", "/health") == (200, "ok\n"):
                    return
            except ConnectionRefusedError:
                time.sleep(0.1)
        pytest.fail(self.log.read_text())

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def raw(self, *parts):
        """The first line that comes back to these bytes, after which the client hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            for part in parts:
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").readline().decode().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Videos, and what each shows."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        trees.video(folder / f"{number}.mp4", number)
    return sorted(folder.iterdir())


def test_requests_that_come_together_have_the_answers_of_predict(server, clips):
    expected = list(server.recognizer.predict(clips))
    bodies = [clip.read_bytes() for clip in clips]

    def ask(number):
        status, text = server.ask("POST", f"/predict/some%20name{number}.MP4", bodies[number % 4])
        return status, json.loads(text)

    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(ask, range(96)))
    for number, (status, answer) in enumerate(found):
        right = expected[number % 4]
        assert status == 200 and tuple(answer["labels"]) == right.labels
        assert answer["scores"] == pytest.approx(right.scores, abs=1e-5)
    assert len({tuple(answer["scores"]) for _, answer in found}) >= 4


def test_every_hostile_video_is_answered(server, tmp_path):
    told = {}
    for number, (name, (make, suffix, status, *_)) in enumerate(hostile.KINDS.items()):
        path = tmp_path / f"video{number}{suffix}"
        make(path)
        if path.is_symlink() or not path.is_file() or make in OF_THE_DISK:
            continue  # nothing to send
        code, text = server.ask("POST", f"/predict/video{suffix}", path.read_bytes())
        told[name] = code
        assert (code == 200) == (status == "ok"), (name, code, text)
        assert "Traceback" not in text and "/tmp" not in text and len(text.splitlines()) == 1, (name, text)
    assert len(told) > 20
    assert server.ask("GET", "/health") == (200, "ok\n")


def test_every_hostile_request_is_answered(server, clips, tmp_path):
    clip = clips[0].read_bytes()
    hostile.write(tmp_path / "long.mp4", [hostile.barcode(0)] * 320)
    endless = (b"x" * 100_000 for _ in range(100))  # chunks without a length
    assert server.ask("POST", "/predict/clip.mp4", endless) == (
        413,
        "more than 1000000 bytes: send a shorter video",
    )
    status, text = server.ask("POST", "/predict/a.mp4", (tmp_path / "long.mp4").read_bytes())
    assert status == 413 and text.startswith("more than 300 frames")
    for name in ("clip.txt", "clip", "clip.mp4.exe", ".mp4", "..%2f..%2fclip.sh", "%00", "clip.m3u8"):
        assert server.ask("POST", f"/predict/{name}", clip)[0] in (400, 404, 415), name
    assert server.ask("GET", "/predict/clip.mp4")[0] == 405
    assert server.ask("POST", "/predict/a/b.mp4", clip)[0] == 404
    assert server.ask("POST", "/", clip)[0] == 404
    begin = b"POST /predict/clip.mp4 HTTP/1.1\r\nHost: x\r\n"
    assert server.raw(begin + b"Content-Length: 500\r\n\r\n", b"x") == ""  # who hung up hears nothing
    assert "400" in server.raw(b"\x16\x03\x01 what is this\r\n\r\n")
    assert "400" in server.raw(begin + b"Content-Length: many\r\n\r\n")
    assert "400" in server.raw(begin + b"X: " + b"y" * 200_000 + b"\r\n\r\n")
    status, text = server.ask("POST", "/predict/clip.mp4", clip, **{"X-A": "ü".encode().decode("latin-1")})
    assert status == 200 and server.process.poll() is None


def test_places_are_taken_while_videos_arrive_and_free_again_after(server, clips):
    clip = clips[0].read_bytes()
    begin = b"POST /predict/clip.mp4 HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nx"
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            for _ in range(PLACES)
        ]
        for client in slow:
            client.sendall(begin)
        for _ in range(40):
            status, text = server.ask("POST", "/predict/clip.mp4", clip)
            if status == 503:
                break
        assert (status, text) == (503, "too many videos are here: send it later")
        assert server.ask("GET", "/health") == (200, "ok\n")
        assert {client.makefile("rb").readline().split()[1] for client in slow} == {b"408"}
    assert server.ask("POST", "/predict/clip.mp4", clip)[0] == 200


def test_a_model_of_joints_is_not_served(tmp_path, monkeypatch):
    model = zoo.build("frame_gru", 3, input_shape=(None, 6), units=2, masked=True)
    look = data.SkeletonPreprocessor("poses", data.SkeletonTransform(frames=3))
    Recognizer(model, NAMES, look).save(tmp_path / "model.keras")
    monkeypatch.setattr(sys, "argv", ["serve.py", str(tmp_path / "model.keras"), "0"])
    with pytest.raises(SystemExit, match="this model sees skeletons"):
        runpy.run_path(str(PROGRAM))


def test_at_the_end_those_that_are_here_are_answered(server, clips):
    clip, found = clips[0].read_bytes(), []  # of each, its status
    asking = [
        threading.Thread(target=lambda: found.append(server.ask("POST", "/predict/clip.mp4", clip)[0]))
        for _ in range(40)
    ]
    for each in asking:
        each.start()
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    for each in asking:
        each.join()
    assert server.process.wait(40) in (0, -signal.SIGTERM)
    assert set(found) == {200}
    assert "Traceback" not in server.log.read_text()
