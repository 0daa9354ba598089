"""What came of a study: a table of its trials, the paper's table beside ours, the winner, pictures."""

import csv
import importlib.util
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_actrec._files import replacing
from keras_actrec.errors import UserError

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_FEWEST = 4  # trials for which pictures say something


@dataclass(frozen=True)
class Trial:
    """A trial as its folder tells it. `status` is `RUNNING` where it has no result yet."""

    name: str
    folder: Path
    values: dict
    overrides: list
    result: dict

    @property
    def completed(self):
        """Whether it came to a result."""
        return self.result["status"] == "COMPLETED"


def read_trials(out, kind="trials"):
    """The trials of a study's directory, in their order; with `kind="winner/3"` those of its seeds."""
    found = []
    for file in Path(out).glob(f"{kind}/*/trial.json"):
        about, ended = _read(file), file.with_name("result.json")
        result = _read(ended) if ended.exists() else {"status": "RUNNING", "reason": ""}
        found.append(Trial(file.parent.name, file.parent, about["values"], about["overrides"], result))
    return sorted(found, key=lambda trial: int(trial.name.removeprefix("seed-")))


def best_trial(study, trials):
    """The completed trial with the best objective, the first of equal ones; None where there is none."""
    sign = 1 if study.direction == "max" else -1
    completed = [trial for trial in trials if trial.completed]
    return max(completed, key=lambda trial: sign * trial.result["metrics"][study.objective], default=None)


def check_any_completed(out):
    """Raise a `UserError` where every trial that has ended has failed."""
    trials = [trial for trial in read_trials(out) if trial.result["status"] != "RUNNING"]
    if trials and not any(trial.completed for trial in trials):
        raise UserError(
            f"all {len(trials)} trials failed, the first one so: {trials[0].result['reason']} "
            f"(see {trials[0].folder / 'log.txt'})"
        )


def write_trials(study, out):
    """Write `trials.csv`: a row a trial, with a column an axis, the objective and what it cost."""
    columns = ["test_top1"] if study.table else []
    rows = []
    for trial in read_trials(out):
        metrics = trial.result.get("metrics", {})
        rows.append(
            {
                "number": int(trial.name),
                "status": trial.result["status"],
                "reason": trial.result["reason"],
                **{name: _text(trial.values.get(name, "")) for name in study.axes},
                **{name: metrics.get(name, "") for name in (study.objective, *columns)},
                **{name: trial.result.get(name, "") for name in ("epochs", "parameters", "seconds")},
            }
        )
    if rows:
        path = Path(out) / "trials.csv"
        with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def write_report(study, out):
    """Write all that a study's directory says about its trials, as far as it has come.

    `trials.csv`; `best.toml`, the best configuration as a recipe; the pictures; and `README.md`, where what
    stands outside of the marks `results:begin` and `results:end` is left alone.
    """
    out = Path(out)
    write_trials(study, out)
    trials = read_trials(out)
    best = best_trial(study, trials)
    if best is None:
        return
    text = (best.folder / "recipe.toml").read_text(encoding="utf-8")
    with replacing(out / "best.toml") as beside:
        beside.write_text(
            f"# {study.name}: trial {best.name}, {_objective(study, best)}\n{text}", encoding="utf-8"
        )
    write_page(out / "README.md", f"# {study.title}", _results(study, out, trials, best))


def write_page(path, heading, block):
    """Put a block between the marks of a page, which is made where it is not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else f"{heading}\n\n{BEGIN}\n{END}\n"
    if BEGIN not in text or END not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with replacing(path) as beside:
        beside.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}", encoding="utf-8")


def _results(study, out, trials, best):
    parts = []
    if study.table:
        parts.append(table(study, trials))
    parts.append(_winner(study, out, best))
    parts.append(_counts(trials))
    parts.append(_pictures(study, trials, out))
    record = _read(best.folder / "run" / "run.json")
    version = record["versions"][record["backend"]]
    data = record["data"]
    parts.append(
        f"Recipe {_short(study.recipe)}, {study.oracle}, seed {study.seed}; {data['found']} files found, "
        f"{data['official'] or 'unknown'} official, {data['parts']['train']} to train on, "
        f"{data['parts']['validation']} to choose by, {data['parts']['test']} to test; "
        f"{record['backend']} {version}, commit {record['commit']}, {record['machine']}."
    )
    return "\n\n".join(parts)


def table(study, trials):
    """The paper's table in Markdown, our column beside the paper's, and whether its finding holds.

    Our figures are on the test part, `1 - top1` where the paper's column is an error, in percent where the
    paper's are above 1. The objective, by which rows with several trials choose theirs, is on the validation
    part.
    """
    layout = study.table
    rows = _rows(study, trials)
    column = layout.column
    heads = [", ".join(layout.rows), f"{column}, paper", f"{column}, here", study.objective]
    heads += ["parameters", "status"]
    lines = [_cells(heads), _cells("---" for _ in heads)]
    ours = {}
    for label, trial in rows.items():
        metrics = trial.result.get("metrics", {})
        if "test_top1" in metrics:
            ours[label] = _like_paper(layout, metrics["test_top1"])
        reason = f": {trial.result['reason']}" if trial.result["reason"] else ""
        lines.append(
            _cells(
                [
                    label,
                    _figure(layout, layout.paper.get(label)),
                    _figure(layout, ours.get(label)),
                    f"{metrics[study.objective]:.4f}" if metrics else "",
                    f"{trial.result['parameters']:,}" if metrics else "",
                    trial.result["status"].lower() + reason,
                ]
            )
        )
    videos = {trial.result["metrics"].get("test_videos") for trial in rows.values() if trial.completed}
    notes = [f"{study.paper}: the paper's figures are the paper's." if study.paper else "", layout.note]
    notes += [_finding(layout, ours, min(videos - {None}, default=0)) if layout.paper else ""]
    return "\n".join([*lines, "", " ".join(note for note in notes if note)]).rstrip()


def _cells(texts):
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


def _rows(study, trials):
    """The best trial of each row, or, where none is completed, its first one; the paper's rows come first."""
    groups = {label: [] for label in study.table.paper}
    for trial in trials:
        groups.setdefault(study.table.label(trial.values), []).append(trial)
    return {label: best_trial(study, group) or group[0] for label, group in groups.items() if group}


def _finding(layout, ours, videos):
    """Whether the paper's best row is the best one here too, as far as so many test videos can tell."""
    shared = [label for label in layout.paper if label in ours]
    if len(shared) < 2:
        return "Too few rows to compare."
    pick = min if _is_error(layout) else max
    theirs = pick(shared, key=layout.paper.get)
    best = pick(shared, key=ours.get)
    rest = [label for label in shared if label != theirs]
    other = pick(rest, key=ours.get)  # the strongest of those that the paper's best one should beat
    unit = 100 if _is_percent(layout) else 1
    share = min(max(ours[best] / unit, 0.0), 1.0)
    error = unit * math.sqrt(max(2 * share * (1 - share), 1 / videos) / videos)
    lead = (ours[theirs] - ours[other]) * (-1 if _is_error(layout) else 1)
    facts = (
        f"The paper's best row is {theirs}, here it is {best}; {theirs} leads the strongest other row by "
        f"{_figure(layout, lead)} here, and the difference of two rows has a standard error of about "
        f"{_figure(layout, error)} on {videos:.0f} test videos."
    )
    if lead > 2 * error:
        return f"{facts} **The finding holds here.**"
    if lead < -2 * error:
        return f"{facts} **The finding does not hold here.**"
    return f"{facts} **Too little data to tell whether the finding holds.**"


def _is_error(layout):
    return "error" in layout.column.lower()


def _is_percent(layout):
    return any(value > 1 for value in layout.paper.values())


def _like_paper(layout, top1):
    value = 1 - top1 if _is_error(layout) else top1
    return 100 * value if _is_percent(layout) else value


def _figure(layout, value):
    if value is None:
        return ""
    return f"{value:.1f}" if _is_percent(layout) else f"{value:.3f}"


def _winner(study, out, best):
    """The best configuration, and its runs with other seeds: mean and 95 % interval."""
    lines = [
        f"Best: trial {best.name}, {_objective(study, best)}, with {' '.join(best.overrides)} (`best.toml`)."
    ]
    runs = [run for run in read_trials(out, f"winner/{best.name}") if run.completed]
    for name in (study.objective, "test_top1"):
        values = [run.result["metrics"][name] for run in runs if name in run.result["metrics"]]
        if values:
            each = ", ".join(f"{value:.4f}" for value in values)
            lines.append(f"Trained again with {len(values)} seeds: {name} {interval(values)} ({each}).")
    protocol = next((run.result["protocol"] for run in runs if run.result["protocol"]), "")
    return "\n".join([*lines, f"Protocol of the test: {protocol}." if protocol else ""]).rstrip()


def interval(values):
    """Mean and half width of the 95 % interval of Student's t, as text; of one value the value."""
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.4f} ± {half:.4f}"


def _counts(trials):
    lines = [f"{len(trials)} trials, {sum(trial.completed for trial in trials)} completed."]
    lines += [
        f"- trial {trial.name} failed: {trial.result['reason']}"
        for trial in trials
        if trial.result["status"] == "FAILED"
    ]
    return "\n".join(lines)


def _pictures(study, trials, out):
    """Draw them; Markdown that shows them, or why there are none."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No pictures: pip install 'keras_actrec[viz]'."
    completed = [trial for trial in trials if trial.completed]
    axes = [name for name in study.axes if len({_text(trial.values.get(name)) for trial in completed}) > 1]
    if len(completed) < _FEWEST or not axes:
        return f"No pictures: they need {_FEWEST} completed trials that differ."
    codes = np.array([_codes([trial.values.get(name) for trial in completed]) for name in axes]).T
    scores = np.array([trial.result["metrics"][study.objective] for trial in completed])
    _draw_parallel(study, axes, completed, codes, scores, out / "parallel.png")
    _draw_importance(study, axes, importance(codes, scores), out / "importance.png")
    return (
        f"![Trials, a line each: the axes and {study.objective}](parallel.png)\n\n"
        f"![Importance of the axes](importance.png)\n\n"
        f"Importance: how much less of the variance of the {len(completed)} completed trials a random "
        f"forest, fitted to them, explains when the values of one axis are shuffled. It is a hint."
    )


def importance(codes, scores):
    """Permutation importance `(axes,)` of a random forest on `(trials, axes)` codes."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(200, random_state=0).fit(codes, scores)
    return permutation_importance(forest, codes, scores, n_repeats=20, random_state=0).importances_mean


def _codes(values):
    """Places from 0 to 1: of numbers by size, of others as they come; -1 where the axis is not there."""
    active = [value for value in values if value is not None]
    numbers = all(isinstance(value, (int, float)) for value in active)
    different = sorted(set(active)) if numbers else list(dict.fromkeys(_text(value) for value in active))
    places = {_text(value): place / max(len(different) - 1, 1) for place, value in enumerate(different)}
    return [-1.0 if value is None else places[_text(value)] for value in values]


def _draw_parallel(study, axes, trials, codes, scores, path):
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    low, spread = scores.min(), (scores.max() - scores.min()) or 1
    figure = Figure((2 * len(axes) + 3, 4), layout="constrained")
    plot = figure.subplots()
    for row, score in zip(codes, (scores - low) / spread, strict=True):
        plot.plot([*row, score], color=colormaps["viridis"](score), alpha=0.8)
    for place, name in enumerate(axes):
        labels = {}
        for trial, code in zip(trials, codes[:, place], strict=True):
            labels[code] = "not there" if code < 0 else _text(trial.values[name])
        for code, label in labels.items():
            plot.annotate(label, (place, code), fontsize=8, parse_math=False)
    end = len(axes)
    for value in (low, scores.max()):
        plot.annotate(f"{value:.3f}", (end, (value - low) / spread), fontsize=8)
    plot.set_xticks(range(end + 1), [*axes, study.objective], parse_math=False)
    plot.set_yticks([])
    plot.grid(axis="x")
    _save(figure, path)


def _draw_importance(study, axes, shares, path):
    from matplotlib.figure import Figure

    figure = Figure((6, 0.5 * len(axes) + 1.5), layout="constrained")
    plot = figure.subplots()
    plot.barh(range(len(axes)), shares)
    plot.set_yticks(range(len(axes)), axes, parse_math=False)
    plot.invert_yaxis()
    plot.set_xlabel(f"permutation importance for {study.objective}", parse_math=False)
    _save(figure, path)


def _save(figure, path):
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)


def _objective(study, trial):
    return f"{study.objective} {trial.result['metrics'][study.objective]:.4f}"


def _short(recipe):
    return Path(recipe).name if Path(recipe).is_absolute() else recipe


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def _read(path):
    return json.loads(path.read_text(encoding="utf-8"))
