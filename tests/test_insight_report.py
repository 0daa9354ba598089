"""The page on models: tables, charts and the confusion matrix, and what its script is told of the clips."""

import base64
import hashlib
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from browser import COMMAND, NEEDS_CHROMIUM, browsing
from keras_actrec.data import Record
from keras_actrec.errors import DiskFullError, UserError
from keras_actrec.evaluation import Evaluation
from keras_actrec.insight import Reported, _charts, _media, _playing, embedding, write_report
from pages import Page

pytestmark = pytest.mark.no_backend

CLASSES = ("run", "jump", "fall")
# True class, answer, its probability: 5 of 8 are right.
ANSWERS = (
    *((0, 0, 0.9), (0, 0, 0.8), (0, 1, 0.7), (0, 1, 0.6)),
    *((1, 1, 0.9), (1, 2, 0.95), (2, 2, 0.5), (2, 2, 0.9)),
)


def evaluation(name="hman", names=CLASSES, answers=ANSWERS, files=None, **more):
    """Scores of clips; what is left of an answer's probability is shared by the other classes."""
    scores = np.full((len(answers), len(names)), 0.0)
    for row, (_, answer, score) in zip(scores, answers, strict=True):
        row[:] = (1 - score) / (len(names) - 1)
        row[answer] = score
    files = files or [Path(f"{number}.npy") for number in range(len(answers))]
    records = tuple(
        Record(file, file.name, label) for file, (label, _, _) in zip(files, answers, strict=True)
    )
    labels = np.array([label for label, _, _ in answers])
    values = {"skipped": (), "protocol": "2 clips", "part": "test"} | more
    return Evaluation(name, names, records, labels, scores, **values)


@pytest.fixture
def page(tmp_path):
    """Writes a report and reads it."""

    def write(*models, title="Report", **how):
        path = write_report(tmp_path / "report.html", title=title, evaluations=models, **how)
        return Page(path.read_text(encoding="utf-8"))

    return write


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Eight videos of 20 frames at 10 a second, 80 x 48: the n-th begins with gray 20 n, a frame adds 1."""
    folder = tmp_path_factory.mktemp("videos")
    return [video(folder / f"{number}.mp4", 20 * number) for number in range(8)]


def video(path, gray, frames=20, size=(80, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    for frame in range(frames):
        writer.write(np.full((*size[::-1], 3), gray + frame, "uint8"))
    writer.release()
    return path


def words(found):
    return " ".join(found.text.split())


def frames_of(content, tmp_path):
    """The frames of a video in a page, gray `(N, H, W)`."""
    file = tmp_path / "content.mp4"
    file.write_bytes(content)
    capture, frames = cv2.VideoCapture(str(file)), []
    while (read := capture.read())[0]:
        frames.append(read[1].mean(axis=-1))
    return np.array(frames)


def content_of(uri, kind):
    head, _, content = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(content)


def test_a_folder_is_refused_before_files_are_explained(tmp_path):
    def explained():
        raise AssertionError("nothing is to be explained")
        yield

    with pytest.raises(UserError, match="is a folder: name a file"):
        write_report(tmp_path, title="t", explanations=explained())


# Tables and charts


def test_the_page_is_well_formed_and_made_for_a_phone_and_for_light_and_dark(page):
    found = page(evaluation(), evaluation(name="other"))
    assert found.broken == [] and found.open == []
    metas = {meta["name"]: meta["content"] for meta in found.of("meta") if "name" in meta}
    assert metas == {"viewport": "width=device-width, initial-scale=1", "color-scheme": "light dark"}


def test_the_table_shows_the_models_side_by_side_beside_the_floors(page):
    floors = {"majority class": 0.5, "one frame": 0.25}
    found = page(
        evaluation(extra={"pair": "98.0%", "recipe": "Adam, 12 frames"}, floors=floors),
        evaluation(
            name="frame_pool", answers=ANSWERS[:5], skipped=("a.avi: empty", "b.avi: empty"), floors=floors
        ),
    )
    labels = ["95 % interval", "mean class accuracy", "mAP", "calibration error", "pair", "test clips"]
    shown = [cell["data-label"] for cell in found.of("td") if "data-label" in cell]
    assert shown == ["top-1", "top-1", *2 * ["top-1", *labels]]
    text = words(found)
    # Of the classes 2 of 4, 1 of 2 and 2 of 2 are right.
    assert re.search(r"hman Adam, 12 frames 62\.5% [\d.]+% to [\d.]+% 66\.7% ", text)
    assert "98.0% 8 frame_pool 60.0%" in text and "– 5 (2 skipped)" in text
    assert (
        text.index("floor: one frame 25.0%") < text.index("floor: majority class 50.0%") < text.index("hman")
    )
    assert "right in 33.3% of all clips. A floor is" in text
    assert "2 videos could not be read a.avi: empty b.avi: empty" in text
    assert len(found.of("br")) == 1  # between the two, where it is told how each was tested


def test_floors_of_other_clips_say_of_which_model_they_are(page):
    text = words(
        page(evaluation(floors={"one frame": 0.5}), evaluation(name="other", floors={"one frame": 0.75}))
    )
    assert "floor: one frame (hman) 50.0%" in text and "floor: one frame (other) 75.0%" in text


def test_models_of_different_clips_are_not_ranked(page):
    scored = [
        evaluation(name=name, floors={"majority class": 0.25}, manifest=manifest, part=part)
        for name, manifest, part in (("a", "1", "test"), ("b", "2", "test"))
    ]
    found = page(*scored)
    assert "floor: majority class (a, b) 25.0%" in words(found) and "cannot be compared" in words(found)
    assert not [cell for cell in found.of("td") if cell.get("class") == "best"]
    alike = page(scored[0], replace(scored[0], name="c"))
    assert "floor: majority class 25.0%" in words(alike) and "cannot be compared" not in words(alike)
    assert len([cell for cell in alike.of("td") if cell.get("class") == "best"]) == 2


def test_top_5_is_shown_where_there_are_more_than_5_classes(page):
    answers = [
        (5, label, 0.75) for label in range(6)
    ]  # where another one wins the last one is sixth, but once
    found = page(evaluation(names=tuple("abcdef"), answers=answers), evaluation(name="two"))
    assert [cell.get("data-label") for cell in found.of("td")].count("top-5") == 2


def test_a_class_is_told_with_its_counts_and_what_it_is_taken_for(page):
    # Of fall the clips come second and third of all by its probability: (1/2 + 2/3) / 2.
    text = words(page(evaluation(names=(*CLASSES, "never"))))
    assert "run 2 of 4" in text and "jump (2)" in text
    assert "fall 2 of 2 58.3%" in text and "never 0 of 0 –" in text


def test_the_confusion_matrix_has_a_button_for_each_cell_that_is_not_empty(page):
    found = page(evaluation())
    cells = {
        (int(cell["data-row"]), int(cell["data-column"])): cell
        for cell in found.of("button")
        if "data-row" in cell
    }
    assert set(cells) == {(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)}
    assert cells[0, 1]["aria-label"] == "2 clips of run, answered jump"
    assert cells[0, 1]["class"] == "miss" and cells[1, 1]["class"] == "hit"
    # Row 1 and column 2 of a grid whose first column has the names; half of the row.
    assert cells[0, 1]["style"] == "grid-area: 1 / 3; --share: 50%"
    assert [cell["tabindex"] for cell in cells.values()].count("0") == 1  # arrow keys do the rest


def test_the_reliability_diagram_has_the_share_that_is_right():
    chart = _charts.reliability(evaluation())
    bars = {text: box for *box, text in chart.bars}
    # By hand, in 15 bins: .5 right, .6 wrong, .7 wrong, .8 right, .9 right three times, .95 wrong.
    assert set(bars) == {
        "1 with 50% on average, 100% right",
        "1 with 60% on average, 0% right",
        "1 with 70% on average, 0% right",
        "1 with 80% on average, 100% right",
        "3 with 90% on average, 100% right",
        "1 with 95% on average, 0% right",
    }
    left, top, width, height, count = bars["3 with 90% on average, 100% right"]
    axes = chart.axes
    assert count == 3
    assert (top, top + height) == (axes.top, axes.bottom)  # from none to all
    across = axes.right - axes.left
    assert left == pytest.approx(axes.left + across * 13 / 15, abs=1.1)
    assert width == pytest.approx(across / 15, abs=2.1)


def test_the_curves_of_runs_have_a_color_each_and_validation_is_dashed():
    history = {"epoch": [0, 1, 2], "accuracy": [0.0, 0.5, 1.0], "loss": [4.0, 2.0, 1.0]}
    runs = {"a": (history | {"val_accuracy": [0.0, 0.25, 0.5]}, 1), "b": (history, None), "begun": ({}, None)}
    accuracy, loss = _charts.curves(runs)
    assert [(line.name, line.dashed) for line in accuracy.lines] == [
        ("a", False),
        ("a, validation", True),
        ("b", False),
    ]
    assert accuracy.lines[0].color == accuracy.lines[1].color != accuracy.lines[2].color
    box = accuracy.axes
    middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    assert accuracy.lines[0].dots == ((box.left, box.bottom), middle, (box.right, box.top))
    assert accuracy.lines[0].kept == middle and accuracy.lines[2].kept is None
    assert [y for _, y in loss.lines[0].dots] == pytest.approx(  # 4 is the top, 0 the bottom
        [box.bottom - share * (box.bottom - box.top) for share in (1, 0.5, 0.25)], abs=0.1
    )
    assert [text for _, text in accuracy.axes.x] == ["1", "2", "3"]


def test_how_models_were_made_stands_side_by_side(page):
    one = Reported("one", evaluation(), facts={"recipe": "hman/own", "seed": "1", "changed": ""})
    found = page(one, Reported("two", facts={"recipe": "gsm/own", "seed": "1"}, note="it has not ended"))
    text = words(found)
    assert "recipe hman/own gsm/own" in text and "seed 1 1" in text and "changed" not in text
    assert "protocol 2 clips" in text and "part test, 8 clips" in text
    assert "two: it has not ended" in text


def test_a_page_of_a_run_without_scores_has_no_clips(page):
    history = {"epoch": [0], "accuracy": [0.5], "loss": [1.0]}
    found = page(Reported("begun", history=history))
    assert found.scripts == [] and "The clips" not in found.text and "How training went" in found.text


def test_points_lie_where_they_are_in_the_color_of_their_class():
    result = evaluation()
    points = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 0.5]])
    drawn = _charts.plane(result, [0, 2, 7], points)
    (x, _, first, right, text), (far, _, second, wrong, _), (middle, _, third, _, _) = drawn.points
    assert x < middle < far and middle == pytest.approx((x + far) / 2, abs=0.1)
    assert first == second != third and (right, wrong) == (True, False) and text == "0.npy: run"
    assert drawn.points[1][4] == "2.npy: run, answered jump"
    assert [name for name, _ in drawn.classes] == ["run", "fall"]


# What comes from outside

EVIL = ("</script><script>alert(1)</script>", "<!--<script>", "a & b\x1b[31m\u2028'\"")


@pytest.mark.parametrize(
    "rows, words",
    [(np.ones((8, 3)), "all files have the same features"), (np.full((8, 3), np.nan), "are not finite")],
)
def test_features_without_a_plane_are_a_note(page, monkeypatch, rows, words):
    monkeypatch.setattr(embedding.zoo, "features_view", lambda model, layer: None)
    monkeypatch.setattr(
        embedding, "score", lambda *_, **__: (SimpleNamespace(scores=row + 1e-9) for row in rows)
    )
    preprocessor = SimpleNamespace(name="features", item=lambda file: (None, None))
    recognizer = SimpleNamespace(
        model=None, preprocessor=preprocessor, spec=SimpleNamespace(masked=False), about={}
    )
    assert words in page(Reported("hman", evaluation(), recognizer)).text


def test_names_are_text_wherever_they_stand(page):
    history = {"epoch": [0], "accuracy": [0.5], "loss": [1.0]}
    files = [Path(f"{EVIL[number % 3]}{number}.npy".replace("/", "∕")) for number in range(8)]
    files[0] = Path("\udcff.npy")  # no text
    result = evaluation(EVIL[0], EVIL, files=files, extra={EVIL[1]: EVIL[2]}, skipped=(EVIL[0],))
    found = page(
        Reported(EVIL[0], result, facts={EVIL[1]: EVIL[0]}, history=history, note=EVIL[1]), title=EVIL[0]
    )
    assert found.broken == [] and found.open == []
    assert len(found.scripts) == 2 and "alert" not in found.scripts[1]
    assert found.told["models"][0]["classes"] == [*EVIL[:2], "a & b\\x1b[31m\\u2028'\""]
    assert found.told["files"][0]["path"] == "\\udcff.npy"
    assert found.text.count(EVIL[0]) >= 8 and "\x1b" not in found.text


def test_nothing_is_loaded_and_no_other_script_runs(page):
    found = page(evaluation())
    for tag, attributes in found.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not {"href", "src", "srcset", "onclick", "onerror"} & set(attributes)
    (policy,) = [meta["content"] for meta in found.of("meta") if "http-equiv" in meta]
    allowed = base64.b64encode(hashlib.sha256(found.scripts[1].encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{allowed}'"
    )
    assert not re.search(
        r"innerHTML|https?://(?!www\.w3\.org/2000/svg)|eval\(|fetch|import", found.scripts[1]
    )


# The clips


def test_the_script_is_told_every_answer(page):
    found = page(evaluation(names=tuple("abcdefg"), answers=[(6, 0, 0.4), (0, 0, 0.7)]))
    assert found.told["files"] == [{"path": "0.npy"}, {"path": "1.npy"}]
    (model,) = found.told["models"]
    assert model["name"] == "hman" and model["classes"] == list("abcdefg")
    first, second = model["clips"]
    assert (first["file"], first["label"], first["true"]) == (0, 6, 0.1)
    assert first["top"] == [[0, 0.4], [1, 0.1], [2, 0.1], [3, 0.1], [4, 0.1]]
    assert (second["file"], second["label"], second["true"], second["top"][0]) == (1, 0, 0.7, [0, 0.7])
    assert "None of them can be played here" in found.text


def test_a_clip_is_there_once_for_several_models(page, videos):
    found = page(evaluation(files=videos), evaluation(name="other", files=videos), most_clips=1)
    assert len(found.told["files"]) == 8 and len(found.told["models"]) == 2
    assert sum("video" in file for file in found.told["files"]) == 1


def test_the_surest_mistakes_play_first_then_the_least_sure_of_what_is_right(page, videos):
    found = page(evaluation(files=videos), most_clips=4)
    playing = [number for number, file in enumerate(found.told["files"]) if "video" in file]
    assert playing == [2, 3, 5, 6]  # mistakes of .95, .7 and .6, and a right answer of .5
    assert "4 of them play here" in found.text
    other = evaluation(name="other", files=videos, answers=[(0, 1, 0.99), *ANSWERS[1:]])
    found = page(evaluation(files=videos), other, most_clips=1)
    assert "video" in found.told["files"][0]  # the surest mistake of any


def test_a_clip_in_the_page_is_its_video(page, videos, tmp_path):
    found = page(evaluation(files=videos), most_clips=1)
    file = found.told["files"][5]
    assert file["seconds"] == pytest.approx(2.0, abs=0.01)
    frames = frames_of(content_of(file["video"], "video/mp4"), tmp_path)
    assert frames.shape == (20, 48, 80)
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 100 + np.arange(20), atol=9)


def test_a_small_clip_keeps_the_times_of_its_file_and_fits_its_budget(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "noise.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 20, (200, 100))
    for _ in range(60):
        writer.write(rng.integers(0, 256, (100, 200, 3), dtype="uint8"))
    writer.release()
    clip = _media.small_clip(Record(file, file.name, 0), 20_000)
    np.testing.assert_allclose(clip.times, np.arange(60) / 20, atol=1e-3)
    assert clip.seconds == pytest.approx(3, abs=0.01)
    assert len(clip.video) <= 20_000
    frames = frames_of(clip.video, tmp_path)
    assert frames.shape[1] * frames.shape[2] <= 112 * 84 and len(frames) >= 3
    part = _media.small_clip(Record(file, file.name, 0, start=20, stop=40), 60_000)
    assert part.seconds == pytest.approx(1, abs=0.01) and part.times[0] == 0


def test_without_an_encoder_a_clip_is_pictures(page, videos, monkeypatch):
    monkeypatch.setattr(_media, "_encoded", lambda frames, rate: None)
    found = page(evaluation(files=videos), most_clips=1)
    stills = found.told["files"][5]["stills"]
    assert len(stills) == 16 and "video" not in found.told["files"][5]
    grays = [
        cv2.imdecode(np.frombuffer(content_of(still, "image/webp"), "uint8"), 1).mean() for still in stills
    ]
    np.testing.assert_allclose(grays, 100 + np.floor(np.arange(16) * 20 / 16), atol=5)


def test_a_video_for_which_there_is_no_room_is_no_video(page, videos, tmp_path, monkeypatch):
    class Writer:
        def __init__(self, path, *_):
            Path(path).touch()

        def isOpened(self):
            return True

        def write(self, frame):
            pass

        release = isOpened

    monkeypatch.setattr(cv2, "VideoWriter", Writer)
    with pytest.raises(DiskFullError):
        page(evaluation(files=videos), most_clips=1)
    assert not (tmp_path / "report.html").exists()


def test_only_what_is_a_video_plays(page, videos, tmp_path):
    joints, images = tmp_path / "joints", tmp_path / "images"
    for folder in (joints, images):
        folder.mkdir()
    (joints / "a_000_keypoints.json").write_text("{}", encoding="utf-8")
    cv2.imwrite(str(images / "000.png"), np.zeros((8, 8, 3), "uint8"))
    scored = evaluation(files=[joints, images, *videos[2:]])
    found = page(scored)
    assert [number for number, file in enumerate(found.told["files"]) if "seconds" not in file] == [0]
    assert "What is not shown" not in found.text
    skeletons = SimpleNamespace(preprocessor=SimpleNamespace(name="skeleton"), about={})
    assert _playing.Clips([("hman", scored, skeletons)], 9).told(None, None, bounded=True)["files"][1] == {
        "path": "images"
    }


def test_clips_lie_beside_the_page_where_that_is_asked_for(page, videos, tmp_path):
    found = page(evaluation(files=videos), folder=True)
    names = sorted(path.name for path in (tmp_path / "report_files").iterdir())
    assert names == [f"{number:05d}.mp4" for number in range(8)]
    assert [file["video"] for file in found.told["files"]] == [f"report_files/{name}" for name in names]
    assert len(frames_of((tmp_path / "report_files" / names[3]).read_bytes(), tmp_path)) == 20
    page(evaluation(files=videos), folder=True, most_clips=1)
    assert [path.name for path in (tmp_path / "report_files").iterdir()] == ["00005.mp4"]
    assert not list(tmp_path.glob(".part-*"))
    (tmp_path / "report_files" / "mine.txt").touch()
    with pytest.raises(
        UserError, match="report_files holds something else than the clips of a report: choose"
    ):
        page(evaluation(files=videos), folder=True)


def test_a_video_that_does_not_decode_is_named(page, videos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"none")
    found = page(evaluation(files=[*videos[:5], broken, *videos[6:]]))
    assert "broken.mp4: " in found.text and "7 of them play here" in found.text
    assert found.told["files"][5] == {"path": "broken.mp4"}


def test_what_is_looked_at_no_more_than_elsewhere_is_not_bright():
    even, hard = np.full((2, 2), 0.25), np.array([[0, 1], [0, 0]])
    some = np.array([[0.4, 0.3], [0.2, 0.1]])  # .15 above the even share, of .25 that would be all
    seen = _playing._brightness(np.stack([even, hard, some]))
    np.testing.assert_array_equal(seen, [np.zeros((2, 2)), 255 * hard, [[153, 51], [0, 0]]])


def in_a_browser(tmp_path):
    """What a browser makes of the report, and what it has to complain about."""
    command = [*COMMAND, "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (tmp_path / "report.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return Page(done.stdout), done.stderr


@NEEDS_CHROMIUM
def test_another_model_is_shown_without_the_classes_that_were_chosen_of_the_first(page, tmp_path):
    page(evaluation(), evaluation(name="other", names=("fall", "run", "jump")))
    file = tmp_path / "report.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy".*>', "", file.read_text(encoding="utf-8"))
    choices = "".join(
        f"form.elements.{name}.value = '{value}'; "
        f"form.elements.{name}.dispatchEvent(new Event('change', {{bubbles: true}})); "
        for name, value in (("kind", "all"), ("label", 1), ("answer", 2), ("model", 1))
    )
    script = f"<script>const form = document.getElementById('choice'); {choices}</script>"
    file.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    found, complaints = in_a_browser(tmp_path)
    assert "CONSOLE" not in complaints and "8 of 8 clips." in found.text


@NEEDS_CHROMIUM
def test_a_browser_lists_the_mistakes_and_has_nothing_to_complain_about(page, videos, tmp_path):
    page(evaluation(names=EVIL, files=videos), most_clips=2)
    found, complaints = in_a_browser(tmp_path)
    assert "CONSOLE" not in complaints
    assert "3 of 8 clips." in found.text and found.of("article") == 3 * [{"class": "clip"}]
    assert len(found.of("video")) == 2 and found.text.count("✗ Wrong") == 3
    assert len(found.scripts) == 2 and EVIL[0] in found.text


@NEEDS_CHROMIUM
def test_axe_finds_no_serious_fault(page, videos, tmp_path):
    page(evaluation(files=videos), evaluation("tsm", files=videos), most_clips=2)
    with browsing(tmp_path / "profile") as browser:
        browser.open((tmp_path / "report.html").as_uri())
        assert browser.faults() == [] and browser.complaints == []
