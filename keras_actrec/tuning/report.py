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
        tests = [_like_paper(layout, top1) for top1 in row.values("test_top1")]
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
    notes += [_verdict(layout, ours, min(videos, default=0)) if layout.paper else ""]
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


def _verdict(layout, ours, videos):
    """Whether the paper's best row is the best one here too, and which of its orders of two rows hold.

    The best row's finding holds where it leads all others that the paper puts behind it, and does not where
    one of them leads it, in both cases by more than chance gives (see `_margin`).
    """
    ranked = sorted(layout.paper, key=layout.paper.get, reverse=not _is_error(layout))
    best = ranked[0]
    if best not in ours:
        return f"The paper's best row, `{best}`, has no result here."
    pairs = [
        (one, other)
        for one, other in itertools.combinations([label for label in ranked if label in ours], 2)
        if layout.paper[one] != layout.paper[other]
    ]
    if not any(one == best for one, _ in pairs):
        return "Too few rows to compare."
    sign = -1 if _is_error(layout) else 1
    means = {label: statistics.mean(figures) for label, figures in ours.items()}
    leads = {(one, other): sign * (means[one] - means[other]) for one, other in pairs}
    reach, by = _margin(layout, ours, pairs, videos)
    seen = [pair for pair in pairs if leads[pair] > reach[pair]]
    turned = [pair for pair in pairs if leads[pair] < -reach[pair]]
    rivals = [pair for pair in pairs if pair[0] == best]
    verdict = "Too little data to tell whether the finding holds."
    if any(pair in turned for pair in rivals):
        verdict = "The finding does not hold here."
    elif all(pair in seen for pair in rivals):
        verdict = "The finding holds here."
    strongest = min(rivals, key=lambda pair: leads[pair] + reach[pair])
    parts = [
        f"The paper's best row, `{best}`, leads `{strongest[1]}` by {_figure(layout, leads[strongest])} ± "
        f"{_figure(layout, reach[strongest])} here ({by}). **{verdict}**"
    ]
    if len(pairs) > 1:
        here = _named([pair[::-1] for pair in turned])
        parts.append(
            f"The paper's orders of two rows: {len(seen)} as here{_named(seen)}, {len(turned)} the other way "
            f"round here{here}, {len(pairs) - len(seen) - len(turned)} not to be told."
        )
    return " ".join(parts)


def _named(pairs):
    return f" ({'; '.join(f'`{one}` before `{other}`' for one, other in pairs)})" if pairs else ""


def _margin(layout, ours, pairs, videos):
    """How far chance reaches in the difference of each pair of rows, and by what that is known.

    With several seeds in every row: Tukey's 95 % intervals, all pairs of rows at once, with the spread of the
    seeds taken from all rows; they are over the same test videos and say nothing about others. With one: two
    standard errors of the difference of two shares of so many videos, which say nothing about other seeds.
    Below one video there is nothing to be told.
    """
    unit = 100 if _is_percent(layout) else 1
    least = unit / videos
    labels = list(dict.fromkeys(label for pair in pairs for label in pair))
    seeds = [len(ours[label]) for label in labels]
    if min(seeds) > 1:
        samples = [ours[label] for label in labels]
        found = {(one, other): _tukey(ours[one], ours[other], samples) for one, other in pairs}
        by = f"{min(seeds)} seeds, the same {videos:.0f} test videos, Tukey's interval for {len(pairs)} pairs"
    else:
        shares = {label: min(max(statistics.mean(ours[label]) / unit, 0.0), 1.0) for label in labels}
        variances = {label: share * (1 - share) / videos for label, share in shares.items()}
        found = {pair: 2 * unit * math.sqrt(sum(variances[label] for label in pair)) for pair in pairs}
        by = f"one seed, {videos:.0f} test videos, two standard errors"
    return {pair: max(width, least) for pair, width in found.items()}, by


def _tukey(one, other, samples):
    """Half width of Tukey's 95 % interval for the difference of two samples' means, all pairs at once.

    `q sqrt(s^2 (1/n + 1/m) / 2)`, with `s^2` the variance within all samples (Tukey and Kramer).
    """
    from scipy.stats import studentized_range

    freedom = sum(len(sample) - 1 for sample in samples)
    within = sum((len(sample) - 1) * statistics.variance(sample) for sample in samples) / freedom
    range_ = studentized_range.ppf(0.95, len(samples), freedom)
    return float(range_) * math.sqrt(within * (1 / len(one) + 1 / len(other)) / 2)


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
    """The figures of the seeds as text: their mean, and the half width of its interval."""
    if not tests:
        return ""
    spread = f" ± {_figure(layout, _half_width(tests))}" if len(tests) > 1 else ""
    return _figure(layout, statistics.mean(tests)) + spread


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
    return "; ".join(sorted({str(text or "unknown") for text in texts}))


def _short(recipe):
    return Path(recipe).name if Path(recipe).is_absolute() else recipe
