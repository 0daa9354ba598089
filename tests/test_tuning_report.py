"""What a study's directory says of its trials."""

import csv
import importlib.util
import json
import math
import re
import statistics

import numpy as np
import pytest

from keras_actrec import tuning
from keras_actrec.tuning import pictures, report, results

pytestmark = pytest.mark.no_backend

RUN = {
    "data": {"found": 9, "official": None, "parts": {"train": 5, "validation": 2, "test": 2}},
    "versions": {"jax": "0.1"},
    "backend": "jax",
    "commit": "abc",
    "machine": "M",
}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "recipe.toml").write_text('[model]\nname = "tsn"\n[train]\nepochs = 2\n')

    def make(axes, table=None, **head):
        recipe = str(tmp_path / "recipe.toml")
        head = {"name": "s", "title": "T", "recipe": recipe, "max_trials": 9, "winner_seeds": [7, 8]} | head
        tables = {"study": head, "space": axes}
        return tuning.parse_study(tables | ({"table": table} if table else {}))

    return make


def write(
    out, name, values, score, *, test=None, videos=100, kind="trials", reason="no luck", parameters=1234
):
    folder = out / kind / name
    (folder / "run").mkdir(parents=True)
    overrides = [f"{key}={value}" for key, value in values.items()]
    (folder / "trial.json").write_text(json.dumps({"values": values, "overrides": overrides}))
    (folder / "recipe.toml").write_text('[model]\nname = "tsn"\n')
    (folder / "run" / "run.json").write_text(json.dumps(RUN))
    if score is None:
        result = {"status": "FAILED", "reason": reason}
    else:
        metrics = {"val_accuracy": score, "val_loss": score}
        metrics |= {} if test is None else {"test_top1": test, "test_videos": videos}
        result = {"status": "COMPLETED", "reason": "", "metrics": metrics, "epochs": 2, "seconds": 1.5}
        result |= {"parameters": parameters, "protocol": "one view"}
    (folder / "result.json").write_text(json.dumps(result))


FRAMES = {"clip.frames": {"values": [30, 40, 50]}}


def frames_table(**changes):
    return {
        "row": "clip.frames",
        "column": "accuracy",
        "paper": {"30": 71.0, "40": 77.8, "50": 75.0},
    } | changes


def test_a_study_of_ones_own_has_no_column_for_a_paper(study, tmp_path):
    write(tmp_path, "0", {"clip.frames": 50}, 0.7, test=0.6)
    made = study(FRAMES, frames_table(paper={}))
    lines = report.table(made, results.read_trials(tmp_path)).splitlines()
    assert lines[0] == "| clip.frames | accuracy | val_accuracy | parameters | status |"
    assert lines[2] == "| 50 | 0.600 | 0.7000 | 1,234 | completed |"


def test_the_table_has_the_papers_column_beside_ours_in_the_papers_rows(study, tmp_path):
    write(tmp_path, "0", {"clip.frames": 50}, 0.7, test=0.6)
    write(tmp_path, "1", {"clip.frames": 30}, 0.5, test=0.5)
    write(tmp_path, "2", {"clip.frames": 40}, None)
    lines = report.table(study(FRAMES, frames_table()), results.read_trials(tmp_path)).splitlines()
    assert (
        lines[0] == "| clip.frames | accuracy, paper | accuracy, here | val_accuracy | parameters | status |"
    )
    assert lines[2:5] == [
        "| 30 | 71.0 | 50.0 | 0.5000 | 1,234 | completed |",
        "| 40 | 77.8 |  |  |  | failed: no luck |",
        "| 50 | 75.0 | 60.0 | 0.7000 | 1,234 | completed |",
    ]


def test_a_column_of_errors_is_one_minus_the_accuracy(study, tmp_path):
    layout = frames_table(column="error rate", paper={"30": 0.197, "40": 0.231})
    write(tmp_path, "0", {"clip.frames": 30}, 0.5, test=0.75, videos=1000)
    write(tmp_path, "1", {"clip.frames": 40}, 0.5, test=0.5, videos=1000)
    text = report.table(study(FRAMES, layout), results.read_trials(tmp_path))
    assert "| 30 | 0.197 | 0.250 |" in text and "| 40 | 0.231 | 0.500 |" in text
    assert (  # 2 sqrt((.25 + .1875) / 1000)
        "The paper's best row, `30`, is 0.250 ± 0.042 ahead of `40` here" in text
        and "**The finding holds here.**" in text
    )


@pytest.mark.parametrize(
    "tests, videos, verdict",
    [
        ((0.5, 0.9, 0.6), 1000, "The finding holds here"),
        ((0.9, 0.5, 0.6), 1000, "The finding does not hold here"),
        ((0.50, 0.55, 0.52), 100, "Too little data to tell"),
        ((0.55, 0.50, 0.52), 100, "Too little data to tell"),
        ((1.0, 1.0, 1.0), 5, "Too little data to tell"),
    ],
)
def test_a_finding_holds_only_beyond_two_standard_errors(tests, videos, verdict, study, tmp_path):
    for place, (frames, test) in enumerate(zip((30, 40, 50), tests, strict=True)):
        write(tmp_path, str(place), {"clip.frames": frames}, 0.5, test=test, videos=videos)
    text = report.table(study(FRAMES, frames_table()), results.read_trials(tmp_path))
    assert verdict in text
    assert f"(one seed, {videos} test videos, two standard errors)" in text


def test_of_several_trials_in_a_row_the_objective_chooses_and_not_the_test(study, tmp_path):
    axes = FRAMES | {"clip.size": {"values": [64, 96]}}
    write(tmp_path, "0", {"clip.frames": 30, "clip.size": 64}, 0.8, test=0.4)
    write(tmp_path, "1", {"clip.frames": 30, "clip.size": 96}, 0.6, test=0.9)
    text = report.table(study(axes, frames_table()), results.read_trials(tmp_path))
    assert "| 30 | 71.0 | 40.0 | 0.8000 |" in text


def best(study, folder):
    found = results.best_configuration(study, results.configurations(study, results.read_trials(folder)))
    return found and [trial.name for trial in found.trials]


def test_the_best_trial_is_a_completed_one_and_follows_the_direction(study, tmp_path):
    write(tmp_path, "0", {"clip.frames": 30}, None)
    assert best(study(FRAMES), tmp_path) is None
    for name, score in (("1", 0.5), ("2", 0.7), ("3", 0.7), ("10", 0.6)):
        write(tmp_path, name, {"clip.frames": 30}, score)
    assert [trial.name for trial in results.read_trials(tmp_path)] == ["0", "1", "2", "3", "10"]
    assert best(study(FRAMES), tmp_path) == ["2"]
    assert best(study(FRAMES, objective="val_loss", direction="min"), tmp_path) == ["1"]


SEEDS = {"train.seed": {"values": [0, 1, 2]}} | FRAMES


def write_seeds(out, tests, scores=None):
    """Three seeds of some numbers of frames: frames to test accuracies."""
    for seed in range(3):
        for frames, each in tests.items():
            score = each[seed] if scores is None else scores[frames][seed]
            name = str(len(list(out.glob("trials/*"))))
            write(out, name, {"train.seed": seed, "clip.frames": frames}, score, test=each[seed])


def test_trials_that_differ_in_their_seed_are_one_row_with_students_interval(study, tmp_path):
    write_seeds(
        tmp_path, {30: (0.5, 0.6, 0.7), 40: (0.8, 0.8, 0.8)}, {30: (0.1, 0.2, 0.6), 40: (0.2, None, 0.3)}
    )
    lines = report.table(study(SEEDS, frames_table()), results.read_trials(tmp_path)).splitlines()
    # t table, 2 degrees of freedom, 97.5 %: 4.3027 x .1 / sqrt(3)
    assert lines[2] == "| 30 | 71.0 | 60.0 ± 24.8 | 0.3000 | 1,234 | 3 of 3 seeds completed |"
    assert lines[3] == "| 40 | 77.8 | 80.0 ± 0.0 | 0.2500 | 1,234 | 2 of 3 seeds completed |"


# The half width of Tukey's intervals: q s / sqrt(n), with q from a table of the studentized range (5 %).
TWO, THREE = 3.93 / math.sqrt(3), 4.34 / math.sqrt(3)  # 2 rows, 4 degrees of freedom; 3 rows, 6


@pytest.mark.parametrize(
    "tests, lead, verdict",
    [
        # s = 10 in each row of two
        ({30: (0.2, 0.3, 0.4), 40: (0.7, 0.8, 0.9)}, (50, 10 * TWO), "The finding holds"),
        ({30: (0.7, 0.8, 0.9), 40: (0.2, 0.3, 0.4)}, (-50, 10 * TWO), "The finding does not hold"),
        ({30: (0.7, 0.8, 0.9), 40: (0.8, 0.9, 1.0)}, (10, 10 * TWO), "Too little data"),
        # 40 leads 30 beyond doubt, but not 50; and is led by 50 beyond doubt, though 30 has the higher mean
        ({30: (0.2,) * 3, 40: (0.7, 0.8, 0.9), 50: (0.6, 0.7, 0.8)}, (10, 8.165 * THREE), "Too little data"),
        ({30: (0.2,) * 3, 40: (0.4,) * 3, 50: (0.6,) * 3}, (-20, 1.0), "The finding does not hold"),
        # one video of 100 in every seed is not told apart
        ({30: (0.79,) * 3, 40: (0.8,) * 3}, (1, 1.0), "Too little data"),
    ],
)
def test_with_seeds_a_finding_holds_beyond_tukeys_interval(tests, lead, verdict, study, tmp_path):
    write_seeds(tmp_path, tests)
    text = report.table(study(SEEDS, frames_table()), results.read_trials(tmp_path))
    assert "Ours are means over the seeds ± their 95 % intervals (Student)." in text
    says = r"is ([\d.]+) ± ([\d.]+) (ahead of|behind) `\d+` here \(3 seeds, the same 100 test videos"
    by, reach, where = re.search(says, text).groups()
    assert float(by) * {"ahead of": 1, "behind": -1}[where] == pytest.approx(lead[0], abs=0.06)
    assert float(reach) == pytest.approx(lead[1], abs=0.06)
    assert f"Tukey's interval for {'one pair' if len(tests) == 2 else '3 pairs'})" in text
    assert f"**{verdict}" in text


def test_the_papers_orders_of_two_rows_are_counted(study, tmp_path):
    # The paper: 40, 50, 30. Here 50 leads 40 by 40 and 30 by 50; 40 leads 30 by 10; the half width is 25.1.
    write_seeds(tmp_path, {30: (0.3, 0.4, 0.5), 40: (0.4, 0.5, 0.6), 50: (0.8, 0.9, 1.0)})
    text = report.table(study(SEEDS, frames_table()), results.read_trials(tmp_path))
    assert (
        "Of the paper's 3 orders of two rows: 1 the same here (`50` before `30`), "
        "1 reversed (`50` before `40`), 1 too close to tell." in text
    )


def test_nothing_is_said_of_a_best_row_that_has_no_result_or_no_rival(study, tmp_path):
    write_seeds(tmp_path, {30: (0.1, 0.1, 0.1), 50: (0.9, 0.9, 0.9)})
    found = results.read_trials(tmp_path)
    assert "The paper's best row, `40`, has no result here." in report.table(
        study(SEEDS, frames_table()), found
    )
    equal = report.table(study(SEEDS, frames_table(paper={"30": 0.7, "50": 0.7})), found)
    assert "Too few rows to compare." in equal and "**" not in equal
    tied = report.table(study(SEEDS, frames_table(paper={"30": 0.7, "50": 0.7, "40": 0.5})), found)
    assert "Too few rows to compare." in tied


def test_a_configuration_of_which_seeds_failed_goes_behind_one_that_held(study, tmp_path):
    tests = {30: (0.95, 0.95, 0.95), 40: (0.9, 0.9, 0.9)}
    write_seeds(tmp_path, tests, {30: (0.95, None, None), 40: (0.9, 0.9, 0.9)})
    assert best(study(SEEDS), tmp_path) == ["1", "3", "5"]


def test_a_trial_that_is_proposed_again_is_no_further_seed(study, tmp_path):
    for name in ("0", "1"):
        write(tmp_path, name, {"train.seed": 0, "clip.frames": 30}, 0.5, test=0.5)
    groups = results.configurations(study(SEEDS), results.read_trials(tmp_path))
    assert [[trial.name for trial in group.trials] for group in groups] == [["0"], ["1"]]


def test_a_table_of_average_precision_has_that_of_the_test_part(study, tmp_path):
    write_seeds(tmp_path, {30: (0.9, 0.9, 0.9), 40: (0.1, 0.1, 0.1)})
    for file in (tmp_path / "trials").glob("*/result.json"):
        result = json.loads(file.read_text())
        metrics = result["metrics"]
        metrics |= {"test_map": 1 - metrics["test_top1"], "val_map": 1 - metrics["val_accuracy"]}
        file.write_text(json.dumps(result))
    made = study(SEEDS, frames_table(column="mAP", paper={"30": 0.7, "40": 0.8}), objective="val_map")
    text = report.table(made, results.read_trials(tmp_path))
    assert "| 30 | 0.700 | 0.100 ± 0.000 | 0.1000 |" in text and "mAP, here" in text
    assert "| 40 | 0.800 | 0.900 ± 0.000 | 0.9000 |" in text and "**The finding holds here.**" in text


def test_a_row_is_the_mean_of_its_folds(study, tmp_path):
    folds = {"data.split": {"values": [1, 2, 3]}, "model.name": {"values": ["tsn", "tsm"]}}
    tests = {"tsn": (0.5, 0.6, 0.7), "tsm": (0.2, 0.2, 0.2)}
    for number, (name, figures) in enumerate(tests.items()):
        for fold, figure in enumerate(figures):
            values = {"data.split": fold + 1, "model.name": name}
            write(tmp_path, str(3 * number + fold), values, 0.5, test=figure)
    table = {"row": "model.name", "column": "accuracy", "paper": {"tsn": 0.9, "tsm": 0.8}}
    made = study(folds, table, repeat=["data.split"], winner_seeds=[])
    text = report.table(made, results.read_trials(tmp_path))
    # Student's t of two degrees, 4.3027, times .1 / sqrt 3
    assert "| tsn | 0.900 | 0.600 ± 0.248 | 0.5000 | 1,234 | 3 of 3 folds completed |" in text
    assert "means over the folds ±" in text and "3 folds, each with 100 test videos" in text


def test_an_installed_package_has_no_commit_and_a_report(study, tmp_path):
    write(tmp_path, "0", {"clip.frames": 30}, 0.5)
    (tmp_path / "trials" / "0" / "run" / "run.json").write_text(json.dumps(RUN | {"commit": None}))
    report.write_report(study(FRAMES), tmp_path)
    assert "jax 0.1, commit unknown, M." in (tmp_path / "README.md").read_text()


def test_the_best_configuration_has_the_best_mean_and_not_the_luckiest_seed(study, tmp_path):
    write_seeds(tmp_path, {30: (0.9, 0.1, 0.1), 40: (0.5, 0.6, 0.4)})
    assert best(study(SEEDS), tmp_path) == ["1", "3", "5"]
    for seed in (7, 8):
        write(tmp_path, f"seed-{seed}", {"clip.frames": 40}, 0.4, test=0.3, kind="winner/1")
    report.write_report(study(SEEDS), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "Best: trials 1, 3, 5, mean val_accuracy 0.5000, with clip.frames=40 (`best.toml`)." in text
    assert "Trained again with 2 seeds: test_top1 0.3000 ± 0.0000 (0.3000, 0.3000)." in text


def test_trials_csv_has_a_column_an_axis_also_for_lists_and_what_is_not_there(study, tmp_path):
    axes = {
        "clip.frames": {"values": [30, 40]},
        "train.milestones": {"values": [[1], [1, 2]], "when": {"clip.frames": [40]}},
    }
    lists = study(axes, set=["train.schedule=multistep"])
    write(tmp_path, "0", {"clip.frames": 30}, 0.25)
    write(tmp_path, "1", {"clip.frames": 40, "train.milestones": [1, 2]}, None, reason="a, b")
    report.write_trials(lists, tmp_path)
    with open(tmp_path / "trials.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "number": "0",
        "status": "COMPLETED",
        "reason": "",
        "clip.frames": "30",
        "train.milestones": "",
        "val_accuracy": "0.25",
        "epochs": "2",
        "parameters": "1234",
        "seconds": "1.5",
    }
    assert (second["status"], second["reason"], second["train.milestones"]) == ("FAILED", "a, b", "[1, 2]")


def test_the_interval_is_students(study):
    values = [0.5, 0.6, 0.7]
    half = 4.302653 * statistics.stdev(values) / math.sqrt(3)  # t table, 2 degrees of freedom, 97.5 %
    assert report.interval(values) == f"0.6000 ± {half:.4f}"
    assert report.interval([0.5]) == "0.5000"


def test_importance_finds_the_axis_that_counts():
    rng = np.random.default_rng(0)
    codes = rng.uniform(size=(40, 3))
    found = pictures.importance(codes, 2 * codes[:, 1] + 0.01 * rng.normal(size=40))
    assert found.argmax() == 1 and found[1] > 10 * max(found[0], found[2])


def test_the_report_keeps_what_stands_around_the_results(study, tmp_path):
    (tmp_path / "README.md").write_text("# Mine\n\nWords.\n")
    for place, frames in enumerate((30, 40, 50, 30)):
        write(tmp_path, str(place), {"clip.frames": frames}, 0.1 * place, test=0.5)
    write(tmp_path, "seed-7", {"clip.frames": 30}, 0.4, test=0.3, kind="winner/3")
    write(tmp_path, "seed-8", {"clip.frames": 30}, 0.4, test=0.9, kind="winner/2")  # of an earlier winner
    for _ in range(2):
        report.write_report(study(FRAMES, frames_table()), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Mine\n\nWords.\n\n<!-- results:begin -->\n| clip.frames |")
    assert text.count("results:begin") == text.count("results:end") == 1
    assert "Best: trial 3, val_accuracy 0.3000, with clip.frames=30" in text
    assert "Trained again with 1 seed: test_top1 0.3000 (0.3000)." in text
    assert "9 files found, 5 to train on, 2 to choose by, 2 to test; jax 0.1, commit abc" in text
    best = (tmp_path / "best.toml").read_text()
    assert best == '# s: trial 3, val_accuracy 0.3000\n[model]\nname = "tsn"\n'
    for name in ("parallel.png", "importance.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("objective, direction", [("val_accuracy", "max"), ("val_loss", "min")])
def test_the_best_trial_stands_out_on_white(objective, direction, study, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the extra `viz` is not installed")
    drawn = {}
    monkeypatch.setattr(pictures, "_save", lambda figure, path: drawn.update({path.name: figure}))
    for place, (frames, score) in enumerate(((30, 0.1), (40, 0.9), (50, 0.5), (30, 0.3))):
        write(tmp_path, str(place), {"clip.frames": frames}, score)
    made = study(FRAMES, objective=objective, direction=direction)
    pictures.draw(made, results.read_trials(tmp_path), tmp_path)
    lines = drawn["parallel.png"].axes[0].lines
    light = [sum(line.get_color()[:3]) for line in lines]
    ranks = sorted(range(4), key=lambda place: (0.1, 0.9, 0.5, 0.3)[place], reverse=direction == "max")
    assert ranks == sorted(range(4), key=light.__getitem__)  # from the darkest to the palest
    assert ranks[::-1] == sorted(range(4), key=lambda place: lines[place].get_zorder())


def test_few_trials_have_no_pictures(study, tmp_path):
    write(tmp_path, "0", {"clip.frames": 30}, 0.1)
    report.write_report(study(FRAMES), tmp_path)
    assert "No pictures: they need 4 completed trials that differ." in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "parallel.png").exists()


def test_without_matplotlib_the_report_names_the_extra(study, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name)
    )
    write(tmp_path, "0", {"clip.frames": 30}, 0.1)
    report.write_report(study(FRAMES), tmp_path)
    assert "No pictures: pip install 'keras_actrec[viz]'." in (tmp_path / "README.md").read_text()
