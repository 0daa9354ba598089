"""Names are text: on the terminal, in files for programs, on pages and in pictures."""

import csv
import io
import json
import re
import unicodedata

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from typer.testing import CliRunner

from hostile import write
from keras_actrec._fonts import lettering
from keras_actrec._text import printable
from keras_actrec.cli import main
from keras_actrec.cli._terminal import say
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling
from keras_actrec.errors import UserError
from keras_actrec.recognizer import Recognizer

STEERING = [
    "\x1b[31mred",  # a color
    "\x1b]8;;http://elsewhere\x07link\x1b]8;;\x07",  # a link
    "\x1b]0;title\x07",
    "\x9b31m",  # the same in one byte
    "over\rwritten",
    "back\b\b\b\b",
    "two\nlines",
    "two\u2028lines",
    "\u202ereversed",
    "\u2066isolated\u2069",
    "nothing\x00more",
    "\udcff",  # a byte of a file's name that is no UTF-8
]
PLAIN = ["走る", "ورزش", "दौड़ना", "🏃\u200d♀️", "an\u3000space", "Putting [something] down", "[/x]", "a\\b"]


@pytest.mark.no_backend
@pytest.mark.parametrize("name", STEERING)
def test_no_character_that_steers_is_printed(name):
    shown = printable(name)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    assert shown.encode("utf-8").decode("unicode_escape" if shown.isascii() else "utf-8") == name
    assert str(UserError(f"{name}: it is damaged")) == f"{shown}: it is damaged"


@pytest.mark.no_backend
@pytest.mark.parametrize("name", PLAIN)
def test_names_of_any_script_stay_as_they_are(name):
    assert printable(name) == name


CLASSES = ("[/x]", "Putting [red]something[/red] down", *STEERING[:2], 'over\rwritten\nand, "on"', "走る")


@pytest.fixture(scope="module")
def set_of_names(tmp_path_factory):
    """Four videos for each of the classes, one of them for testing; a bad one; and `model.keras`."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "set").mkdir()
    rows = [("path", "label", "split")]
    for number, label in enumerate(CLASSES):
        for index, split in enumerate(("train", "train", "validation", "test")):
            write(folder / "clip.mp4", [np.full((32, 32, 3), 40 * number + index, "uint8")] * 4)
            path = f"\x1b[3{number}m{index}.mp4"
            (folder / "clip.mp4").rename(folder / "set" / path)
            rows.append((path, label, split))
    (folder / "set" / "\x1b[39mbad.mp4").write_bytes(b"")
    with open(folder / "set" / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    clip = keras.Input((None, 32, 32, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clip))
    model = keras.Model(clip, keras.layers.Dense(len(CLASSES), activation="softmax")(x), name="brightness")
    preprocessor = ClipPreprocessor(Sampling(2), ClipTransform(32, crop="none"))
    Recognizer(model, CLASSES, preprocessor).save(folder / "model.keras")
    return folder


def output_of(*arguments, status=0):
    """What a command prints, which must not steer a terminal."""
    result = CliRunner().invoke(main.app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output
    steering = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    assert not re.search(steering, result.output)
    return result.output


def test_classes_and_files_are_text_to_every_command(set_of_names, tmp_path):
    data, model = set_of_names / "set", set_of_names / "model.keras"
    counts = output_of("audit", "--data", data)
    for name in ("[/x]", "Putting [red]something[/red] down", "\\x1b[31mred", "over\\rwritten\\nand"):
        assert f" {name}" in counts
    scores = output_of(
        "evaluate", model, "--data", data, "--predictions", tmp_path / "rows.csv",
        "--json", tmp_path / "scores.json", "--page", tmp_path / "page.html",
    )  # fmt: skip
    assert "0 [/x]" in scores and "[red]something[/red]" in re.sub(r"[\s│┃]+", "", scores)
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == set(CLASSES)
    assert [row["path"] for row in rows] == [f"\x1b[3{number}m3.mp4" for number in range(len(CLASSES))]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "\x1b" not in page and "\\x1b[31mred" in page and "走る" in page

    files = ["--json", tmp_path / "p.json", "--csv", tmp_path / "p.csv", "--top", len(CLASSES)]
    answers = output_of("predict", model, data, *files, status=1)
    assert "\\x1b[30m0.mp4  " in answers and " [/x]  " in answers and "\\x1b[39mbad.mp4: " in answers
    written = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert set(written[0]["labels"]) == set(CLASSES)
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["label"] in CLASSES


def test_classes_are_text_to_training_and_its_results(set_of_names, tmp_path):
    weights = '"no\\u001b[31m.keras"'
    recipe = f'[model]\nname = "tsn"\nbackbone = "efficientnet_lite0"\nweights = {weights}\n'
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    run = ["--data", set_of_names / "set", "--out", tmp_path / "\x1b[31mrun"]
    assert "no\\x1b[31m.keras" in output_of("train", tmp_path / "recipe.toml", *run, status=1)
    output_of("init", *run[:2], "--out", tmp_path / "own.toml", "--minutes", 0.1)
    output_of("results", tmp_path / "\x1b[31mno", status=1)


@pytest.mark.no_backend
def test_a_name_that_the_terminal_cannot_write_is_no_error(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(main, "keep_stderr_for_python", lambda: None)
    monkeypatch.setattr(main, "app", lambda: say("走る"))
    monkeypatch.setattr("warnings.formatwarning", None)
    main.main()
    assert terminal.buffer.getvalue() == b"\\u8d70\\u308b\n"


@pytest.mark.no_backend
def test_what_is_drawn_has_a_font_for_every_character(monkeypatch):
    names = ["run", "走る", "Ω", "🏃", "n" * 40]
    texts, families = lettering(names, lambda number: f"#{number}", most=32)
    fonts = [
        font_manager.get_font(font_manager.findfont(font_manager.FontProperties(family=[family])))
        for family in families
    ]
    assert not any("Last Resort" in font.family_name for font in fonts)
    for text in texts:
        for c in text:
            assert any(font.get_char_index(ord(c)) for font in fonts)
    assert texts[0] == "run" and texts[2] == "Ω" and texts[4] == "n" * 31 + "…"
    assert texts[1] in ("走る", "#1") and texts[3] in ("🏃", "#3")  # by what is installed
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    assert lettering(names, lambda number: f"#{number}")[0][1] == "#1"


@pytest.mark.no_backend
def test_letters_that_join_are_drawn_where_matplotlib_joins_them(monkeypatch):
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 10, 0))
    assert lettering(["ورزش", "école"], str)[0] == ["0", "école"]
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 11, 0))
    assert lettering(["ورزش"], str)[0] == ["ورزش"]
