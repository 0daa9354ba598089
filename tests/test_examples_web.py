"""examples/web in a browser whose camera is a fake one: the answers are those of the model."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from browser import CAMERA, COMMAND, NEEDS_CHROMIUM
from checks import close
from keras_actrec import _backend, data, deploy, zoo
from keras_actrec.recognizer import Recognizer

PAGE = Path(__file__).parents[1] / "examples/web/index.html"
NODE = Path(os.environ.get("NODE_PATH", ""))
NAMES = ("clap", "sit", "stand", "wave")
SIZE, FRAMES = 16, 6

pytestmark = [
    pytest.mark.skipif(_backend.name != "torch", reason="PyTorch writes the file, once"),
    NEEDS_CHROMIUM,
    pytest.mark.skipif(
        not (NODE / "onnxruntime-web").is_dir(), reason="needs NODE_PATH, a folder with onnxruntime-web"
    ),
]

# What the page sees and says goes to the server.
TELL = """
<script>
  let number = 0;
  document.addEventListener("answer", ({ detail: { frame, scores } }) => fetch("/", {
    method: "POST", body: frame.data, headers: {
      about: JSON.stringify({ number: number++, shape: [frame.height, frame.width, 4], scores }),
    },
  }));
</script>
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_POST(self):
        about = json.loads(self.headers["about"])
        pixels = np.frombuffer(self.rfile.read(int(self.headers["Content-Length"])), "uint8")
        self.server.found[about["number"]] = pixels.reshape(about["shape"])[..., :3], about["scores"]
        if len(self.server.found) >= FRAMES:
            self.server.enough.set()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def seen_in_a_browser(folder):
    """Frames of the camera, and what the page in a folder answered after each."""
    (folder / "index.html").write_text(PAGE.read_text(encoding="utf-8") + TELL, encoding="utf-8")
    (folder / "node_modules").symlink_to(NODE)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.found, server.enough = {}, threading.Event()
        threading.Thread(target=server.serve_forever).start()
        command = [*COMMAND, f"--user-data-dir={folder}/user"]
        command += [*CAMERA, f"http://127.0.0.1:{server.server_port}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            enough = server.enough.wait(90)
            browser.kill()
        server.shutdown()
    assert enough, f"{len(server.found)} answers came"
    frames, scores = zip(*(server.found[number] for number in range(FRAMES)), strict=True)
    return np.stack(frames), scores


def test_a_model_from_elsewhere_is_not_loaded(tmp_path):
    shutil.copy(PAGE, tmp_path)
    handler = functools.partial(Handler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/?model=http://localhost:{server.server_port}/x.onnx"
        command = [*COMMAND, f"--user-data-dir={tmp_path}/user"]
        done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=90)
        server.shutdown()
    assert "/x.onnx lies elsewhere: put it beside this page" in done.stdout.partition("<script")[0]


def network():
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(4, 4, 4, activation="relu")])


@pytest.mark.parametrize(("stream", "crop"), [(True, "center"), (False, "none")])
def test_the_page_answers_as_the_model(tmp_path, stream, crop):
    pytest.importorskip("onnxscript")
    keras.utils.set_random_seed(0)
    model = zoo.frame_gru(4, input_shape=(None, SIZE, SIZE, 3), backbone=network(), units=5, masked=True)
    look = data.ClipPreprocessor(data.Sampling(3, "contiguous"), data.ClipTransform(SIZE, crop=crop))
    recognizer = Recognizer(model, NAMES, look)
    deploy.export(recognizer, tmp_path / "model.onnx", "onnx", stream=stream)
    frames, answers = seen_in_a_browser(tmp_path)
    assert frames.shape[1:] == (480, 640, 3) and len(np.unique(frames, axis=0)) > 1
    clip = look.transform(frames)
    for number, scores in enumerate(answers):
        if not stream and number < 2:
            assert scores is None
            continue
        steps = clip[: number + 1] if stream else clip[number - 2 : number + 1]
        expected = model.predict_on_batch(recognizer.batch(steps))[0]
        assert np.ptp(expected) > 0.01
        close(np.array(scores), expected, 1e-4)
