"""Progress: what is written at which width, and how long the rest takes by a clock of ours."""

import io
import re

import pytest
from rich.console import Console

from keras_actrec.cli._progress import Stage, progress_bars

pytestmark = pytest.mark.no_backend

LABEL = "frame_pool: extracting features, train"  # the longest that a demo has
TEXT = "epoch 13, batch 113/120  loss 0.532  accuracy 0.812  last val accuracy 0.750"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def training(epochs, train, validation=0, batch=0.1, checked=0.03, compiles=0.0, writes=0.0):
    """Pairs of what is done and of the time: the first batches compile, an epoch ends with a checkpoint."""
    now, batches = 0.0, train + validation
    for epoch in range(epochs):
        for number in range(1, batches + 1):
            now += batch if number <= train else checked
            if epoch == 0 and number in (1, train + 1):
                now += compiles
            if number < batches:
                yield epoch + number / batches, now
        now += writes
        yield epoch + 1, now


def items(seconds):
    now = 0.0
    for number, each in enumerate(seconds, 1):
        now += each
        yield number, now


WORK = {
    "even": (60, training(60, 57)),
    "a first batch of a minute": (60, training(60, 57, compiles=60)),
    "one batch an epoch": (60, training(60, 1, compiles=60)),
    "ten epochs": (10, training(10, 57, 10, compiles=30)),
    "fifteen epochs": (15, training(15, 57, 10, compiles=30)),
    "half of it validation": (10, training(10, 50, 50, compiles=30)),
    "a checkpoint of a quarter": (60, training(60, 57, 10, compiles=30, writes=1.5)),
    "a single epoch": (1, training(1, 600, compiles=5)),
    "videos": (300, items([20] + 299 * [1])),
    "a tenth of them long": (300, items([8 if number % 10 == 0 else 1 for number in range(300)])),
    "the first ones cached": (300, items(20 * [0.001] + 280 * [1])),
}


@pytest.mark.parametrize("kind", WORK)
def test_the_time_left_is_right_within_a_third_after_a_tenth_of_the_work(kind):
    total, reports = WORK[kind]
    reports = list(reports)
    end, stage, checked = reports[-1][1], Stage("epochs", total, 0.0), 0
    for done, now in reports[:-1]:
        stage.report(done, now)
        if 0.1 * total <= done <= 0.9 * total:
            assert abs(stage.left(now) - (end - now)) <= (end - now) / 3, done
            checked += 1
    assert checked > 20 and stage.left(now) is not None


def test_a_run_that_goes_on_is_judged_by_what_it_does_itself():
    stage = Stage("epochs", 60, 0.0)
    for done, now in ((30, 5.0), (31, 65.0), (32, 75.0), (33, 85.0), (34, 95.0)):
        stage.report(done, now)
    assert stage.left(95.0) == pytest.approx(260)


def test_nothing_is_said_of_the_rest_before_the_second_step_has_ended():
    stage = Stage("videos", 10, 0.0)
    for done in (1, 2):
        stage.report(done, 5.0 * done)
        assert stage.times(10.0) == "0:10"
    stage.report(3, 15.0)
    assert stage.times(15.0) == "0:15, 0:35 left"


def test_the_time_left_passes_while_a_step_is_under_way_but_not_that_of_the_steps_behind_it():
    stage = Stage("videos", 10, 0.0)
    for done in (1, 2, 3):
        stage.report(done, 5.0 * done)
    assert [stage.left(now) for now in (15.0, 18.0, 20.0, 1000.0)] == [35, 32, 30, 30]


def test_a_stage_that_has_ended_says_how_long_it_took():
    stage = Stage("videos", 3, 0.0)
    for done in (1, 2, 3):
        stage.report(done, 2000.0 * done)
    assert stage.times(99_999.0) == "1:40:00" and stage.left(99_999.0) is None


def draw(width, reports):
    """What the terminal shows in the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, _environ={})
    clock = Clock()
    with progress_bars(console, clock) as progress:
        for now, report in reports:
            clock.now = now
            progress(*report)
    last = console.file.getvalue().split("\x1b[1A\x1b[2K")[-1]
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", last).replace("\r", "").rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [80, 100])
def test_counts_times_and_text_are_whole(width):
    reports = [(7, ("frame_pool: features", 1000, 1000, "train"))]
    reports += [(10 + 37 * epoch, ("frame_pool: epochs", epoch, 1000, TEXT)) for epoch in (1, 2, 3)]
    features, epochs, text = draw(width, reports)
    assert re.fullmatch(rf"{LABEL} ━+ 1000/1000 0:07 *", features)
    assert re.fullmatch(r"frame_pool: training +[━╸╺]* +3/1000 1:54, 10:14:49 left", epochs)
    assert text.strip() == TEXT and max(map(len, (features, epochs, text))) <= width
    assert features.count("━") >= width // 10


def test_the_text_of_a_narrow_terminal_is_broken_and_its_label_cut_but_no_number():
    lines = draw(50, [(7, ("hman: features", 10, 10, "train")), (8, ("hman: epochs", 1, 2, TEXT))])
    assert re.fullmatch(r"hman: ext… ━+ 10/10 0:07 *", lines[0])
    assert " ".join(" ".join(lines[2:]).split()) == " ".join(TEXT.split())


def test_what_is_said_is_that_of_the_latest_stage():
    ended = [(1, ("epochs", 1, 1, "loss 0.5"))]
    assert draw(80, ended)[-1].strip() == "loss 0.5"
    lines = draw(80, [*ended, (2, ("scoring", 1, 4, "test"))])
    assert len(lines) == 2 and lines[-1].startswith("scoring, test ")


def test_parts_of_equal_size_have_a_bar_each():
    lines = draw(
        80, [(n, ("videos", n % 2 + 1, 2, part)) for n, part in enumerate(2 * ["train"] + 2 * ["test"])]
    )
    assert [line.split(" ━")[0] for line in lines] == ["reading videos, train", "reading videos, test "]


def test_without_a_terminal_there_is_a_line_at_every_quarter_with_the_time(capsys):
    clock = Clock()
    with progress_bars(clock=clock) as progress:
        for number in range(1, 9):
            clock.now = 10.0 * number
            progress("videos", number, 8, "train")
        for number in range(1, 41):
            clock.now = 100.0 + 2 * number
            progress("epochs", number / 10, 4, f"epoch {number // 10 + 1}, [batch]")
    assert capsys.readouterr().err.splitlines() == [
        "reading videos 1/8  train  0:10",
        "reading videos 2/8  train  0:20",
        "reading videos 4/8  train  0:40, 0:40 left",
        "reading videos 6/8  train  1:00, 0:20 left",
        "reading videos 8/8  train  1:20",
        "training 0/4  epoch 1, [batch]  0:22",
        "training 1/4  epoch 2, [batch]  0:40, 1:00 left",
        "training 2/4  epoch 3, [batch]  1:00, 0:40 left",
        "training 3/4  epoch 4, [batch]  1:20, 0:20 left",
        "training 4/4  epoch 5, [batch]  1:40",
    ]


def test_without_a_terminal_there_is_a_line_a_minute_where_quarters_are_long(capsys):
    clock = Clock()
    with progress_bars(clock=clock) as progress:
        for epoch in range(1, 11):
            clock.now = 25.0 * epoch
            progress("epochs", epoch, 100, f"epoch {epoch}")
    written = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in written] == ["epoch 1", "epoch 4", "epoch 7", "epoch 10"]
