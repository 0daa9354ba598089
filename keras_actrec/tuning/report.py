"""What came of a study: a table of its trials, the paper's table beside ours, the winner, pictures."""

import csv
import itertools
import math
import statistics
from pathlib import Path

from keras_actrec._files import replacing
from keras_actrec.tuning import pictures
from keras_actrec.tuning.results import best_configuration, configurations, read_trials

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


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
                **{name: pictures.text_of(trial.values.get(name, "")) for name in study.axes},
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
    best = best_configuration(study, configurations(trials))
    if best is None:
        return
    text = (best.shown.folder / "recipe.toml").read_text(encoding="utf-8")
    with replacing(out / "best.toml") as beside:
        beside.write_text(f"# {study.name}: {_objective(study, best)}\n{text}", encoding="utf-8")
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
    parts.append(pictures.draw(study, trials, out))
    records = [trial.record for trial in trials if trial.completed]
    made = {f"{each['backend']} {each['versions'][each['backend']]}" for each in records}
    data = records[0]["data"]
    parts.append(
        f"Recipe {_short(study.recipe)}, {study.oracle}, seed {study.seed}; {data['found']} files found, "
        f"{data['official'] or 'unknown'} official, {data['parts']['train']} to train on, "
        f"{data['parts']['validation']} to choose by, {data['parts']['test']} to test; "
        f"{_listed(made)}, commit {_listed(each['commit'] for each in records)}, "
        f"{_listed(each['machine'] for each in records)}."
    )
    return "\n\n".join(parts)


def table(study, trials):
    """The paper's table in Markdown, our column beside the paper's, and whether its finding holds.

    Our figures are on the test part, `1 - top1` where the paper's column is an error, in percent where the
    paper's are above 1; with several seeds their mean, and the 95 % interval over them by Student's t. The
    objective, by which rows with several configurations choose theirs, is on the validation part.
    """
    layout = study.table
    rows = _rows(study, configurations(trials))
    column = layout.column
    heads = [", ".join(layout.rows), f"{column}, paper", f"{column}, here", study.objective]
    heads += ["parameters", "status"]
    lines = [_cells(heads), _cells("---" for _ in heads)]
    ours = {}
    for label, row in rows.items():
        tests = {seed: _like_paper(layout, top1) for seed, top1 in row.by_seed("test_top1").items()}
        if tests:
            ours[label] = tests
        score = row.mean(study.objective)
        lines.append(
            _cells(
                [
                    label,
                    _figure(layout, layout.paper.get(label)),
                    _figures(layout, tests),
                    "" if score is None else f"{score:.4f}",
                    f"{row.shown.result['parameters']:,}" if row.completed else "",
                    _status(row),
                ]
            )
        )
    videos = [row.mean("test_videos") for label, row in rows.items() if label in ours]
    notes = [f"{study.paper}: the paper's figures are the paper's." if study.paper else "", layout.note]
    if any(len(tests) > 1 for tests in ours.values()):
        notes += ["Here: the mean over the seeds ± its 95 % interval (Student)."]
    notes += [_finding(layout, ours, min(videos, default=0)) if layout.paper else ""]
    return "\n".join([*lines, "", " ".join(note for note in notes if note)]).rstrip()


def _cells(texts):
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


def _rows(study, found):
    """The best configuration of each row, or, where none has a result, its first; the paper's come first."""
    groups = {label: [] for label in study.table.paper}
    for each in found:
        groups.setdefault(study.table.label(each.shown.values), []).append(each)
    return {label: best_configuration(study, group) or group[0] for label, group in groups.items() if group}


def _status(row):
    """What became of a configuration's trials."""
    if len(row.trials) > 1:
        return f"{len(row.completed)} of {len(row.trials)} seeds completed"
    result = row.shown.result
    return result["status"].lower() + (f": {result['reason']}" if result["reason"] else "")


def _finding(layout, ours, videos):
    """Whether the paper's best row is the best one here too, and which of its orders of two rows hold.

    What lies within the reach of chance (see `_lead`) is left open.
    """
    shared = [label for label in layout.paper if label in ours]
    if len(shared) < 2:
        return "Too few rows to compare."
    ranked = sorted(shared, key=layout.paper.get, reverse=not _is_error(layout))
    theirs, *others = ranked
    leads = {other: _lead(layout, ours[theirs], ours[other], videos) for other in others}
    strongest = min(leads, key=lambda other: leads[other][0])
    lead, reach, by = leads[strongest]
    verdict = "Too little data to tell whether the finding holds."
    if abs(lead) > reach:
        verdict = f"The finding {'holds' if lead > 0 else 'does not hold'} here."
    text = (
        f"The paper's best row, `{theirs}`, leads the strongest other one of the paper's, `{strongest}`, by "
        f"{_figure(layout, lead)} ± {_figure(layout, reach)} here ({by}). **{verdict}**"
    )
    return f"{text} {_orders(layout, ours, ranked, videos)}" if len(ranked) > 2 else text


def _orders(layout, ours, ranked, videos):
    """Which of the paper's orders of two rows hold here, and which are the other way round."""
    seen, turned = [], []
    pairs = [
        (one, other)
        for one, other in itertools.combinations(ranked, 2)
        if layout.paper[one] != layout.paper[other]
    ]
    for one, other in pairs:
        lead, reach, _ = _lead(layout, ours[one], ours[other], videos)
        if lead > reach:
            seen.append(f"`{one}` before `{other}`")
        elif lead < -reach:
            turned.append(f"`{other}` before `{one}`")
    return (
        f"The paper's {len(pairs)} orders of two rows: {len(seen)} as here{_named(seen)}, {len(turned)} the "
        f"other way round here{_named(turned)}, {len(pairs) - len(seen) - len(turned)} not to be told."
    )


def _named(pairs):
    return f" ({'; '.join(pairs)})" if pairs else ""


def _lead(layout, one, other, videos):
    """How much better one row is than another, how far chance reaches, and by what that is known.

    `one` and `other` are seed to figure. With several seeds: the 95 % interval of Student's t of the
    differences seed by seed, over the same test videos. With one: two standard errors of the difference of
    two shares of so many videos.
    """
    sign = -1 if _is_error(layout) else 1
    seeds = one.keys() & other.keys()
    if len(seeds) > 1:
        leads = [sign * (one[seed] - other[seed]) for seed in seeds]
        return statistics.mean(leads), _half_width(leads), f"{len(seeds)} seeds, seed by seed"
    unit = 100 if _is_percent(layout) else 1
    means = [statistics.mean(row.values()) for row in (one, other)]
    shares = [min(max(mean / unit, 0.0), 1.0) for mean in means]
    variance = max(sum(share * (1 - share) for share in shares), 1 / videos) / videos
    return sign * (means[0] - means[1]), 2 * unit * math.sqrt(variance), f"{videos:.0f} test videos"


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


def _figures(layout, tests):
    """Seed to figure, as text: their mean, and the half width of its interval where there are several."""
    values = list(tests.values())
    if not values:
        return ""
    spread = f" ± {_figure(layout, _half_width(values))}" if len(values) > 1 else ""
    return _figure(layout, statistics.mean(values)) + spread


def _winner(study, out, best):
    """The best configuration, and its runs with other seeds: mean and 95 % interval."""
    lines = [f"Best: {_objective(study, best)}, with {' '.join(best.overrides)} (`best.toml`)."]
    runs = [run for run in read_trials(out, f"winner/{best.trials[0].name}") if run.completed]
    for name in (study.objective, "test_top1"):
        values = [run.result["metrics"][name] for run in runs if name in run.result["metrics"]]
        if values:
            each = ", ".join(f"{value:.4f}" for value in values)
            lines.append(f"Trained again with {len(values)} seeds: {name} {interval(values)} ({each}).")
    protocol = next((run.result["protocol"] for run in runs if run.result["protocol"]), "")
    return "\n".join([*lines, f"Protocol of the test: {protocol}." if protocol else ""]).rstrip()


def interval(values):
    """Mean and half width of the 95 % interval of Student's t, as text; of one value the value."""
    spread = f" ± {_half_width(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def _half_width(values):
    from scipy.stats import t

    return t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def _counts(trials):
    lines = [f"{len(trials)} trials, {sum(trial.completed for trial in trials)} completed."]
    lines += [
        f"- trial {trial.name} failed: {trial.result['reason']}"
        for trial in trials
        if trial.result["status"] == "FAILED"
    ]
    return "\n".join(lines)


def _objective(study, best):
    """Which trials the best configuration is, and its objective."""
    names = [str(int(trial.name)) for trial in best.completed]
    words = f"trial {names[0]}," if len(names) == 1 else f"trials {', '.join(names)}, mean"
    return f"{words} {study.objective} {best.mean(study.objective):.4f}"


def _listed(texts):
    return "; ".join(sorted(set(texts)))


def _short(recipe):
    return Path(recipe).name if Path(recipe).is_absolute() else recipe
