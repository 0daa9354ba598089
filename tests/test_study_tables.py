"""The tables of the studies that have been run, recomputed from their trials."""

import csv
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from keras_actrec.tuning import read_study

pytestmark = pytest.mark.no_backend

TUNING = Path(__file__).parents[1] / "tuning"
RUN = sorted(trials.parent for trials in TUNING.rglob("trials.csv"))  # in folders of a study, on further data
STUDENT = {2: 12.7062, 3: 4.3027, 4: 3.1824, 5: 2.7764, 10: 2.2622}  # 97.5 % of so many values, of a table


def trials_of(folder):
    with open(folder / "trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_by_label(folder, table):
    """Label to its trials."""
    axes = [table["row"]] if isinstance(table["row"], str) else table["row"]
    found = {}
    for trial in trials_of(folder):
        found.setdefault(", ".join(trial[axis] for axis in axes if trial[axis]), []).append(trial)
    return found


def figures(trials, table):
    """The figures of some trials on the test part, as the paper gives them."""
    measure = "test_map" if table["column"] == "mAP" else "test_top1"
    values = np.array([float(trial[measure]) for trial in trials])
    return 1 - values if "error" in table["column"] else values


def rows_of(folder):
    """Label to the cells of its row."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row for row in cells[2:]}


def test_five_studies_have_been_run():
    assert len(RUN) >= 5


@pytest.mark.parametrize("folder", RUN, ids=lambda folder: str(folder.relative_to(TUNING)))
def test_every_combination_was_tried_and_came_to_a_result(folder):
    trials = trials_of(folder)
    size = read_study(folder / "study.toml").space.size()
    assert [int(trial["number"]) for trial in trials] == list(range(size))
    assert {trial["status"] for trial in trials} == {"COMPLETED"}


@pytest.mark.parametrize("folder", RUN, ids=lambda folder: str(folder.relative_to(TUNING)))
def test_the_table_is_that_of_the_trials_beside_the_papers(folder):
    table = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))["table"]
    groups, rows, study = rows_by_label(folder, table), rows_of(folder), read_study(folder / "study.toml")
    assert rows.keys() == groups.keys()
    for label, trials in groups.items():
        _, paper, here, objective, parameters, _ = rows[label]
        values = figures(trials, table)
        half = STUDENT[len(trials)] * values.std(ddof=1) / math.sqrt(len(trials))
        mean, spread = (float(text) for text in here.split(" ± "))
        assert mean == pytest.approx(values.mean(), abs=0.51e-3)
        assert spread == pytest.approx(half, abs=0.51e-3)
        reached = np.mean([float(trial[study.objective]) for trial in trials])
        assert float(objective) == pytest.approx(reached, abs=0.51e-4)
        assert {int(trial["parameters"]) for trial in trials} == {int(parameters.replace(",", ""))}
        expected = table.get("paper", {}).get(label)
        assert (float(paper) if paper else None) == expected


@pytest.mark.parametrize("folder", RUN, ids=lambda folder: str(folder.relative_to(TUNING)))
def test_the_best_configuration_is_that_of_the_best_mean_of_the_objective(folder):
    groups, study = {}, read_study(folder / "study.toml")
    for trial in trials_of(folder):
        axes = tuple(trial[axis] for axis in study.axes if axis not in study.repeat)
        groups.setdefault(axes, []).append(trial)
    means = [np.mean([float(trial[study.objective]) for trial in group]) for group in groups.values()]
    numbers = [trial["number"] for trial in list(groups.values())[int(np.argmax(means))]]
    assert f"Best: trials {', '.join(numbers)}, mean" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", RUN, ids=lambda folder: str(folder.relative_to(TUNING)))
def test_the_page_says_whether_the_finding_holds(folder):
    table = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))["table"]
    found = {label: figures(trials, table) for label, trials in rows_by_label(folder, table).items()}
    sign = -1 if "error" in table["column"] else 1
    ranked = sorted(table["paper"], key=lambda label: -sign * table["paper"][label])
    interval = stats.tukey_hsd(*(found[label] for label in ranked)).confidence_interval(0.95)
    means = [sign * np.mean(found[label]) for label in ranked]
    reach = (interval.high - interval.low)[0, 1] / 2  # the same for all pairs, as the rows have as many seeds
    leads = [means[0] - mean for mean in means[1:]]
    figure = table["paper"].__getitem__
    rivals = [at for at, label in enumerate(ranked[1:]) if figure(label) != figure(ranked[0])]
    verdict = "Too little data to tell whether the finding holds."
    least = min(rivals, key=leads.__getitem__)
    if leads[least] < -reach:
        verdict = "The finding does not hold here."
    elif leads[least] > reach:
        verdict = "The finding holds here."
    where = "ahead of" if leads[least] >= 0 else "behind"
    said = (
        f"The paper's best row, `{ranked[0]}`, is {abs(leads[least]):.3f} ± {reach:.3f} {where} "
        f"`{ranked[1 + least]}` here"
    )
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert said in text and text.count("**") == 2 and f"**{verdict}**" in text


@pytest.mark.parametrize("folder", RUN, ids=lambda folder: str(folder.relative_to(TUNING)))
def test_the_page_shows_both_pictures(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\w+\.png)\)", text) == ["parallel.png", "importance.png"]
    for name in ("parallel.png", "importance.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
