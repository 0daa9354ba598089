"""The page of `keras-actrec web`: answers as `explain` and `predict`, errors as text, nothing left behind."""

import dataclasses
import http.client
import importlib
import re
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hostile
import trees
from browser import NEEDS_CHROMIUM, browsing
from keras_actrec import _backend, data, deploy, insight, zoo
from keras_actrec.cli.main import app
from keras_actrec.data import read_manifest
from keras_actrec.deploy import web
from keras_actrec.deploy._corrections import Corrections
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer
from pages import Page

pytest.importorskip("starlette", reason="needs the extra `web`")
pytest.importorskip("uvicorn", reason="needs the extra `web`")
_web = importlib.import_module("keras_actrec.deploy._web")

NAMES = ("clap <b>hands</b>", "sit", "wave")
WAITING = 4
ONE, THREE = "one <i>view</i>", f"three views ({'runs/' * 30}model.keras)"
ON_ONE_BACKEND = pytest.mark.skipif(
    _backend.name != "torch", reason="it is the same on all: on the one that starts first"
)
OF_THE_DISK = (hostile.no_permission, hostile.name_in_another_encoding)  # and not of what is in the file


def recognizer(crops):
    """An attention LSTM as it was drawn, which looks at one crop of a clip or at three."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 4, 4, activation="relu", kernel_initializer="orthogonal"),
        ]
    )
    model = zoo.build("lstm_attention", 3, backbone=network, input_shape=(None, 16, 16, 3), units=4)
    transform = data.ClipTransform(16, crop="none") if crops == 1 else data.ClipTransform(16, num_crops=crops)
    return Recognizer(model, NAMES, data.ClipPreprocessor(data.Sampling(4), transform))


class Site:
    """A page that is served, with two models and small limits."""

    def __init__(self, folder):
        self.uploads, self.labels = folder / "uploads", folder / "kept" / "labels.csv"
        self.uploads.mkdir()
        self.models = {ONE: recognizer(1), THREE: recognizer(3)}
        limits = deploy.WebLimits(
            megabytes=1, frames=300, pixels=400_000, memory=4_000_000, waiting=WAITING, seconds=3
        )
        self.page = deploy.web_page(self.models, self.labels, limits=limits)
        self.told, servers = [], []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                _web,
                "Server",
                lambda *args, make=_web.Server: servers.append(make(*args)) or servers[0],
            )
            self.thread = threading.Thread(
                target=deploy.serve_page, args=(self.page,), kwargs={"port": 0, "tell": self.told.append}
            )
            self.thread.start()
            while not (servers and servers[0].started):
                assert self.thread.is_alive()
                time.sleep(0.01)
        self.server, self.address = servers[0], self.told[0].split()[0]
        self.host = self.address.removeprefix("http://")

    def close(self):
        self.server.should_exit = True
        self.thread.join()

    def ask(self, method, path, body=None, **headers):
        """Status, text and headers."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def answer(self, name, body, model=0):
        return self.ask("POST", f"/answer?model={model}&name={quote(name)}", body)[:2]

    def left(self):
        return list(self.uploads.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    running = Site(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(running.uploads))
        yield running
    running.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "wave.mp4"
    trees.video(path, 1)
    return path


def correct(site, clip, name="wave.mp4"):
    return site.ask("POST", f"/correct?model=0&name={name}&label=2&keep=yes", clip.read_bytes())[:2]


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def squares(path, side):
    """A video of large frames in few bytes."""
    return hostile.write(path, [np.full((side, side, 3), 90, "uint8")] * 3, "MJPG")


def scores_of(page):
    """Class and score, best first, as the page says."""
    return re.findall(r"[●■▲] +([^%]*?) +([0-9.]+)%", page.text)


def test_the_answer_is_that_of_predict_with_its_pictures(site, clip):
    status, html = site.answer("dir/my <i>clip.mp4", clip.read_bytes())
    page = Page(html)
    expected = site.models[ONE].predict_video(clip)
    assert status == 200 and page.broken == []
    assert scores_of(page) == [(name, f"{100 * score:.1f}") for name, score in expected]
    assert "my <i>clip.mp4, seen by lstm_attention in 4 steps" in page.text
    assert "<b>hands" not in html and "<i>" not in html  # names are text
    pictures = [each["alt"] for each in page.of("img")]
    assert pictures[0].startswith("4 steps. Probability of") and len(page.of("source")) == 1  # light, dark
    assert sum("Most attention" in each for each in pictures) == 4
    assert sum("Most evidence" in each for each in pictures) == 4
    assert [each.get("value") for each in page.of("option")] == ["", "0", "1", "2"]
    assert site.left() == []


def test_where_predict_sees_more_views_the_scores_are_their_mean(site, clip, monkeypatch):
    model = site.models[THREE]
    expected = model.predict_video(clip)
    status, html = site.answer("clip.mp4", clip.read_bytes(), model=1)
    page = Page(html)
    assert status == 200 and scores_of(page) == [(name, f"{100 * score:.1f}") for name, score in expected]
    note = "The scores are the mean over 3 views of the clip; what is below is of one of them"
    assert note in page.text and "This is the answer to this view alone" not in page.text
    alone = expected[-1][0]
    found = insight.explain(model, clip)
    scores = np.array([float(name == alone) for name in NAMES])
    other = dataclasses.replace(found, scores=scores)
    monkeypatch.setattr("keras_actrec.deploy._web.explain", lambda *_: other)
    assert (
        f"{note}, which alone is {alone}."
        in Page(site.answer("clip.mp4", clip.read_bytes(), model=1)[1]).text
    )


@ON_ONE_BACKEND
def test_every_hostile_video_is_answered(site, tmp_path):
    told = {}
    for number, (name, (make, suffix, status, *_)) in enumerate(hostile.KINDS.items()):
        path = tmp_path / f"video{number}{suffix}"
        make(path)
        if path.is_symlink() or not path.is_file() or make in OF_THE_DISK:
            continue  # nothing to send
        code, text = site.answer(f"video{suffix}", path.read_bytes())
        told[name] = code
        assert (code == 200) == (status == "ok"), (name, code, text)
        if code != 200:
            assert text.startswith((f"video{suffix}", "more than 1 MB")) and text.isprintable(), (name, text)
        assert "Traceback" not in text and str(site.uploads) not in text, (name, text)
    assert len(told) > 20 and site.left() == []


@ON_ONE_BACKEND
@pytest.mark.parametrize(
    "name",
    [
        "clip.txt",
        "clip",
        ".mp4/",
        "clip.mp4.exe",
        "..\\..\\a.sh",
        "\0",
        "",
        "list.m3u8",
        "a\n<b>.zip",
        "x" * 5000,
    ],
)
def test_a_name_of_no_video_is_refused_in_a_line(site, clip, name):
    code, text = site.answer(name, clip.read_bytes())
    assert code == 415 and "is no name of a video" in text and text.isprintable() and len(text) < 300


@ON_ONE_BACKEND
@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.mp4", "C:\\a\\b.mp4", "a\x1b[31m\u202e.mp4", "y" * 5000 + ".mp4", "<script>.mp4"],
)
def test_a_name_leads_nowhere(site, clip, name):
    code, html = site.answer(name, clip.read_bytes())
    assert code == 200 and "<script>" not in html and "etc/" not in html and "\x1b" not in html
    code, text = site.answer(name, b"no video")
    assert code == 400 and text.isprintable() and len(text) < 400 and site.left() == []


@ON_ONE_BACKEND
def test_what_is_too_large_or_too_long_is_refused_before_it_is_read(site, tmp_path):
    started = time.monotonic()
    endless = (b"x" * 100_000 for _ in range(100))  # chunks without a length
    assert site.answer("a.mp4", endless) == (413, "more than 1 MB: send a shorter clip")
    with ExitStack() as stack:
        connection = http.client.HTTPConnection(site.host, timeout=60)
        stack.callback(connection.close)
        connection.putrequest("POST", "/answer?name=a.mp4")
        connection.putheader("Content-Length", "9" * 18)
        connection.endheaders()
        assert connection.getresponse().status == 413  # without a byte of it
    long = hostile.write(tmp_path / "long.mp4", [hostile.barcode(0)] * 320).read_bytes()
    assert site.answer("a.mp4", long) == (413, "more than 300 frames: send a shorter clip")
    for side in (700, 600):  # more than 400 000 pixels; four frames of more than a million bytes
        large = squares(tmp_path / "large.avi", side).read_bytes()
        assert site.answer("a.avi", large) == (413, f"frames of {side} x {side} pixels: send smaller ones")
    assert time.monotonic() - started < 20 and site.left() == []


@ON_ONE_BACKEND
def test_other_requests_are_refused(site, clip):
    body = clip.read_bytes()
    ask = site.ask
    assert ask("GET", "/answer?name=a.mp4")[0] == 405 and ask("POST", "/", body)[0] == 405
    assert ask("GET", "/../../etc/passwd")[0] == 404 and ask("GET", "/kept/labels.csv")[0] == 404
    for model in ("2", "-1", "x", "9" * 5000):
        assert site.answer("a.mp4", body, model=model) == (404, "there is no such model: load the page again")
    for host in ("evil.example", "evil.example:8000", "[", "", "127.0.0.1.evil.example"):
        assert ask("GET", "/", Host=host)[0] in (400, 403), host
    assert ask("GET", "/", Host="localhost:1")[0] == 200 and ask("GET", "/", Host="[::1]:8000")[0] == 200
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert ask("POST", "/answer?name=a.mp4", body, Origin=origin)[:2] == (
            403,
            "this was sent by another page",
        )
    assert ask("POST", "/answer?name=a.mp4", body, Origin=site.address)[0] == 200


@ON_ONE_BACKEND
def test_every_response_says_that_nothing_is_loaded_from_elsewhere(site):
    for method, path in (("GET", "/"), ("GET", "/page.js"), ("GET", "/nothing"), ("POST", "/answer")):
        policy = site.ask(method, path)[2]["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ") and "http" not in policy
    html = site.ask("GET", "/")[1]
    page = Page(html)
    assert page.of("script") == [{"src": "page.js"}] and page.of("link") == [
        {"rel": "icon", "href": "data:,"}
    ]
    assert [each["value"] for each in page.of("option")] == ["0", "1"] and "<i>view" not in html
    assert "At most 1 MB and 300 frames." in page.text


@ON_ONE_BACKEND
def test_places_are_taken_while_clips_arrive_and_free_again_after(site, clip):
    with ExitStack() as stack:
        for _ in range(WAITING):
            slow = http.client.HTTPConnection(site.host, timeout=60)
            stack.callback(slow.close)
            slow.putrequest("POST", "/answer?name=a.mp4")
            slow.putheader("Content-Length", "5000")
            slow.endheaders(b"x")
            last = slow
        for _ in range(100):
            code, text = site.answer("a.mp4", clip.read_bytes())
            if code == 503:
                break
        assert (code, text) == (503, "too many clips are being answered: send it again in a moment")
        late = last.getresponse()
        assert (late.status, late.read()) == (408, b"not all of it came in 3 s")
    assert site.answer("a.mp4", clip.read_bytes())[0] == 200 and site.left() == []


@ON_ONE_BACKEND
def test_who_has_gone_is_not_answered(site, clip, monkeypatch):
    calls, go = [], threading.Event()
    monkeypatch.setattr(_web, "explain", lambda *_: calls.append(1) or go.wait(60) and 1 / 0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(site.answer, "a.mp4", clip.read_bytes())
        until(lambda: calls)
        gone = http.client.HTTPConnection(site.host, timeout=60)
        gone.request("POST", "/answer?name=b.mp4", clip.read_bytes())
        until(lambda: len(site.left()) == 2)
        gone.close()
        go.set()
        assert first.result()[0] == 500 == site.answer("c.mp4", clip.read_bytes())[0]
    assert len(calls) == 2 and site.left() == []


@ON_ONE_BACKEND
def test_the_end_waits_for_clips_unless_it_is_asked_for_again(tmp_path, clip, monkeypatch, capfd):
    """In the order in which Ctrl-C, pressed twice, has it."""
    go = threading.Event()
    monkeypatch.setattr(_web, "explain", lambda *_: go.wait(60) and 1 / 0)
    running = Site(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(running.uploads))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.answer, "a.mp4", clip.read_bytes())
        until(running.left)
        running.server.handle_exit(signal.SIGINT, None)
        until(lambda: len(running.told) == 2)
        assert running.told[1].startswith("Ends when the clips that are here are answered; Ctrl-C again")
        assert running.thread.is_alive()
        running.server.handle_exit(signal.SIGINT, None)
        assert answer.result() == (503, "keras-actrec web was ended")
        running.thread.join()
        go.set()
    assert "Traceback" not in capfd.readouterr().err and running.left() == []


def test_a_mistake_of_ours_is_a_line_without_a_traceback(site, clip, monkeypatch):
    def fails(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("keras_actrec.deploy._web.explain", fails)
    code, text = site.answer("a.mp4", clip.read_bytes())
    assert code == 500 and text.startswith("something went wrong here: the terminal") and "secret" not in text
    assert site.left() == []


def test_a_full_disk_is_a_line(site, clip, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("keras_actrec.deploy._web.TemporaryDirectory", full)
    told = (507, "the server's disk is full: make room, and send it again")
    assert site.answer("a.mp4", clip.read_bytes()) == told
    monkeypatch.undo()
    monkeypatch.setattr("keras_actrec.deploy._corrections.shutil.copyfile", full)
    assert correct(site, clip) == told
    assert list(site.labels.parent.glob("*wave*")) == [] == site.left()


def test_a_folder_that_cannot_be_written_is_named(site, clip, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system", "/somewhere")

    monkeypatch.setattr("keras_actrec.deploy._corrections.replacing", read_only)
    told = f"{site.labels} or a copy beside it cannot be written: Read-only file system"
    assert correct(site, clip) == (507, told)


def test_a_label_goes_into_a_file_that_training_takes(site, clip):
    body = clip.read_bytes()

    def correct(name="wave.mp4", label="2", keep="no", body=body):
        return site.ask("POST", f"/correct?model=0&name={quote(name)}&label={label}&keep={keep}", body)[:2]

    assert correct(label="3")[0] == 400 and correct(label="") == (400, "choose the class that it shows")
    code, text = correct()
    assert code == 400 and text.startswith(
        "wave.mp4 does not lie beside labels.csv, where training would look"
    )
    assert not site.labels.parent.exists() or list(site.labels.parent.iterdir()) == []
    code, text = correct("../my clip.MP4", keep="yes")
    assert code == 200 and text.endswith(f"is wave in {site.labels}")
    assert correct(keep="yes", body=b"no video")[0] == 400  # training would stumble over it
    manifest = read_manifest(site.labels)
    (record,) = manifest.records
    assert re.fullmatch(r"my_clip-[0-9a-f]{12}\.mp4", record.path) and manifest.class_names == ("wave",)
    assert record.file.read_bytes() == body and site.left() == []


@pytest.mark.no_backend
def test_a_clip_is_one_row_and_copies_are_kept_on_request_alone(tmp_path, clip):
    corrections = Corrections(tmp_path / "own" / "labels.csv")
    with pytest.raises(UserError, match=r"^wave.mp4 does not lie beside labels.csv"):
        corrections.add(clip, "wave.mp4", "sit", keep=False)
    first = corrections.add(clip, "..:\n= wave.mp4", "sit", keep=True)
    assert corrections.add(clip, "..:\n= wave.mp4", 'a "b", c', keep=True) == first
    assert corrections.path.read_text(encoding="utf-8") == f'path,label\n{first},"a ""b"", c"\n'
    assert re.fullmatch(r"wave-[0-9a-f]{12}\.mp4", first)
    (tmp_path / "own" / "other.mp4").write_bytes(b"another")
    (tmp_path / "new.mp4").write_bytes(b"one more")
    with pytest.raises(UserError, match="does not lie beside"):
        corrections.add(tmp_path / "new.mp4", "other.mp4", "sit", keep=False)
    assert corrections.add(tmp_path / "own" / "other.mp4", "other.mp4", "sit", keep=False) == "other.mp4"
    assert {each.path for each in read_manifest(corrections.path).records} == {first, "other.mp4"}
    assert sorted(each.name for each in (tmp_path / "own").iterdir()) == ["labels.csv", "other.mp4", first]


@pytest.mark.no_backend
def test_a_clip_under_another_name_is_the_same_row(tmp_path, clip):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "wave.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "labels.csv").write_text("path,label\n./sub/wave.mp4,sit\ngone.mp4,sit\n")
    corrections = Corrections(tmp_path / "labels.csv")
    for name, keep in (("camera.mp4", True), ("wave.mp4", False)):
        assert corrections.add(clip, name, name, keep=keep) == "./sub/wave.mp4"
        assert corrections.path.read_text() == f"path,label\n./sub/wave.mp4,{name}\ngone.mp4,sit\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["labels.csv", "sub"]


@pytest.mark.no_backend
def test_a_file_that_a_spreadsheet_has_saved_is_taken(tmp_path, clip):
    (tmp_path / "labels.csv").write_bytes("\ufeffpath,label\r\n".encode() + f"{clip},sit\r\n".encode())
    assert Corrections(tmp_path / "labels.csv").add(clip, "a.mp4", "wave", keep=False) == str(clip)
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8") == f"path,label\n{clip},wave\n"


@pytest.mark.no_backend
def test_labels_that_come_together_are_all_there(tmp_path):
    clips = []
    for number in range(8):
        clips.append(tmp_path / f"{number}.mp4")
        clips[-1].write_bytes(bytes([number]))
    pages = [Corrections(tmp_path / "labels.csv") for _ in range(2)]  # of two servers
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: pages[n % 2].add(clips[n], clips[n].name, "sit", keep=False), range(8)))
    found = [each.path for each in read_manifest(tmp_path / "labels.csv").records]
    assert sorted(found) == [f"{number}.mp4" for number in range(8)]


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "text",
    [
        "path,label,split\na,b,test\n",
        "path,label,split\n",
        "path,label\na,b,c\n",
        "path,label\na\n",
        "x\n1\n",
    ],
)
def test_a_file_with_other_columns_is_left_alone(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match="labels.csv has other columns than path,label: name another"):
        Corrections(tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text() == text
    with pytest.raises(UserError, match="corrections go into a CSV file"):
        Corrections(tmp_path / "labels.txt")


@pytest.mark.no_backend
def test_a_model_of_joints_is_refused(tmp_path):
    look = SimpleNamespace(files="skeletons")
    with pytest.raises(UserError, match="^mine sees skeletons, and the page takes videos: keras-actrec"):
        deploy.web_page({"mine": SimpleNamespace(preprocessor=look)}, tmp_path / "labels.csv")


def test_a_model_with_nothing_to_show_is_refused(tmp_path):
    clip = keras.Input((3, 16, 16, 3), name="clip")
    model = keras.Model(clip, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(clip)), name="mine")
    look = data.ClipPreprocessor(data.Sampling(3), data.ClipTransform(16))
    with pytest.raises(UserError, match="^`mine` has nothing to explain"):
        deploy.web_page({"mine": Recognizer(model, NAMES, look)}, tmp_path / "labels.csv")


@pytest.mark.no_backend
def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(UserError, match=r"needs the extra `web`: pip install 'keras_actrec\[web\]'"):
        deploy.web_page({}, tmp_path / "labels.csv")


def test_an_address_that_is_taken_or_none_is_refused(site):
    with pytest.raises(UserError, match=r"^127.0.0.1, port \d+: nothing can listen there \(.+\); choose"):
        deploy.serve_page(site.page, port=int(site.host.split(":")[1]))
    with pytest.raises(UserError, match="nothing can listen there"):
        deploy.serve_page(site.page, host="nowhere.invalid")


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "limit",
    [{"megabytes": 0}, {"frames": 0}, {"pixels": 0}, {"memory": -1}, {"waiting": 0}, {"waiting": 1.5}]
    + [{"seconds": value} for value in (0, -1, float("nan"), float("inf"))],
)
def test_a_limit_that_would_refuse_everything_is_refused(limit):
    with pytest.raises(UserError, match=f"^`{[*limit][0]}` must be"):
        deploy.WebLimits(**limit)


@pytest.mark.no_backend
@pytest.mark.parametrize(
    "host, local",
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_which_addresses_are_those_of_this_machine_alone(host, local):
    assert web._is_loopback(host) == local


def test_the_command_serves_models_with_its_limits(site, tmp_path, monkeypatch):
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        site.models[THREE].save(tmp_path / str(number) / "model.keras")
    served = []
    monkeypatch.setattr(web, "serve_page", lambda page, **where: served.append((page, where)))
    monkeypatch.chdir(tmp_path)
    command = [
        "web",
        "0/model.keras",
        "1/model.keras",
        "--megabytes",
        "5",
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    ((_, where),) = served
    assert (where["host"], where["port"]) == ("0.0.0.0", 0) and not Path("corrections").exists()
    done = CliRunner().invoke(app, ["web", "nothing.keras"])
    assert done.exit_code == 1 and "error: model file nothing.keras does not exist" in done.output


# In a browser


HOSTILE = {
    "empty.mp4": hostile.zero_bytes,
    "text.mp4": hostile.html,
    "garbage.mp4": hostile.garbage,
    "cut.mp4": hostile.half_an_mp4,
    "cut.avi": hostile.half_an_avi,
    "no table.mp4": hostile.without_moov,
    "no frames.mp4": hostile.without_frames,
    "huge header.avi": hostile.huge_claim,
    "huge table.mp4": hostile.huge_table,
    "huge box.mp4": hostile.huge_moov,
    "huge frames.y4m": hostile.huge_frames,
    "boxes.mp4": hostile.endless_boxes,
    "sound.mp4": hostile.audio_only,
    "playlist.m3u8": hostile.list_of_segments,
    "playlist.mp4": hostile.list_of_segments,
    "list.mp4": hostile.list_of_files,
    "session.mp4": hostile.session,
    "too long.mp4": lambda path: hostile.write(path, [hostile.barcode(0)] * 320),
    "too large.mp4": lambda path: path.write_bytes(bytes(1_100_000)),
    "too wide.avi": lambda path: squares(path, 700),
    "archive.zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)),
    "program.exe": hostile.garbage,
    "picture.jpg": hostile.picture_called_mp4,
    "..\\..\\up.mp4": hostile.garbage,
    "n" * 240 + ".mp4": hostile.garbage,
    "a\n\x1b[31m\u202eb.mp4": hostile.garbage,
    "<img src=x onerror=hacked=1>.mp4": hostile.garbage,
}


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile")) as running:
        running.open(site.address)
        yield running


def asked(browser, path):
    """What the page says of a file: the answer's heading, or what is wrong with it."""
    browser.choose("input[type=file]", path)
    browser.until("answer.hidden && !wrong.textContent")
    browser.js("document.querySelector('#ask [type=submit]').click()")
    browser.until("wrong.textContent || !answer.hidden")
    return browser.js("[document.querySelector('#found h3')?.innerText ?? '', wrong.textContent]")


@NEEDS_CHROMIUM
@ON_ONE_BACKEND
def test_a_clip_is_answered_and_labeled_by_keyboard(browser, site, clip):
    focused = "(({name, id, textContent}) => name || id || textContent.trim())(document.activeElement)"
    browser.wide(400)
    order = []
    for _ in range(4):
        browser.press("Tab")
        order.append(browser.js(focused))
    assert order == ["model", "file", "camera", "What does it show?"]
    browser.press("Enter")
    browser.until("wrong.textContent.startsWith('there is no clip yet')")
    browser.choose("input[type=file]", clip)
    browser.until("document.querySelector('#status').textContent === 'wave.mp4'")
    browser.press("Enter")
    browser.until("document.activeElement.id === 'answer'")
    assert browser.js("document.querySelector('#found h3').innerText").startswith("Predicted ")
    assert browser.js("document.documentElement.scrollWidth") <= 400
    browser.press("Tab")
    assert browser.js(focused) == "label"
    for _ in range(2):
        browser.press("ArrowDown")
    browser.press("Tab")
    browser.press(" ")
    browser.press("Tab")
    browser.press("Enter")
    browser.until("document.querySelector('#correct [role=status]').textContent.startsWith('Saved: ')")
    found = read_manifest(site.labels)
    (record,) = [each for each in found.records if each.file.read_bytes() == clip.read_bytes()]
    assert found.class_names[record.label] == "sit"
    assert browser.complaints == [] and site.left() == []


@NEEDS_CHROMIUM
@ON_ONE_BACKEND
def test_hostile_files_are_told_of_in_a_line_and_the_page_goes_on(browser, site, clip, tmp_path):
    assert len(HOSTILE) > 20
    for number, (name, make) in enumerate(HOSTILE.items()):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / name
        make(path)
        heading, wrong = asked(browser, path)
        assert wrong and wrong.isprintable() and len(wrong) < 400, (name, heading, wrong)
        assert "Traceback" not in wrong and str(site.uploads) not in wrong, (name, wrong)
    heading, wrong = asked(browser, clip)
    assert heading.startswith("Predicted ") and wrong == ""
    assert browser.js("typeof hacked") == "undefined" and browser.complaints == [] and site.left() == []


@NEEDS_CHROMIUM
@ON_ONE_BACKEND
def test_the_camera_is_recorded_and_answered(browser, site):
    browser.js("camera.click()")
    browser.until("document.activeElement.id === 'record' && live.videoWidth")
    browser.js("record.click()")
    browser.until("document.querySelector('#status').textContent.startsWith('Recording')")
    browser.js("document.getElementById('close').click()")
    browser.until("!live.srcObject && document.activeElement.id === 'camera'")
    assert browser.js("[document.querySelector('#status').textContent, record.textContent]") == ["", "Record"]
    browser.js("camera.click()")
    browser.until("document.activeElement.id === 'record' && live.videoWidth")
    browser.js("record.click(); recordedFrom = live.currentTime")
    browser.until("live.currentTime > recordedFrom + 0.8")  # of pictures, however slow the machine is
    browser.js("record.click()")
    browser.until("document.querySelector('#status').textContent === 'camera.webm' && !live.srcObject")
    browser.until("!preview.hidden && preview.videoWidth")
    browser.js("document.querySelector('#ask [type=submit]').click()")
    browser.until("wrong.textContent || !answer.hidden")
    assert browser.js("[wrong.textContent, found.textContent.includes('camera.webm, seen by')]") == ["", True]
    assert browser.complaints == [] and site.left() == []


@NEEDS_CHROMIUM
@ON_ONE_BACKEND
def test_axe_finds_no_serious_fault(browser, site, clip, tmp_path):
    (tmp_path / "bad.mp4").touch()
    browser.open(site.address)
    for path in (None, tmp_path / "bad.mp4", clip):
        if path is not None:
            asked(browser, path)
        assert browser.faults() == [], path


@NEEDS_CHROMIUM
@ON_ONE_BACKEND
def test_no_request_leaves_the_machine(browser, site):
    assert {f"{site.address}/", f"{site.address}/page.js"} <= set(browser.requests)
    away = [
        each
        for each in browser.requests
        if not each.startswith((f"{site.address}/", "data:", f"blob:{site.address}/"))
    ]
    assert away == []
