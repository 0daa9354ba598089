"""What came of a study: a table of its trials, the paper's table next to ours, the winner, pictures."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from keras_actrec._files import write_block, write_csv, write_text
from keras_actrec._text import printable
from keras_actrec.evaluation import student_interval
from keras_actrec.tuning import pictures
from keras_actrec.tuning.results import (
    Configuration,
    Trial,
    best_configuration,
    configurations,
    damaged,
    read_trials,
)
from keras_actrec.tuning.space import text_of
from keras_actrec.tuning.study import PaperTable, Study


def write_trials(study: Study, out: str | Path) -> None:
    """Write `trials.csv`: a row a trial, with a column an axis, the objective and what it cost."""
    columns = [_measure(study.table)] if study.table else []
    rows = []
    for trial in read_trials(out):
        metrics = trial.result.get("metrics", {})
        rows.append(
            {
                "number": int(trial.name),
                "status": trial.result["status"],
                "reason": trial.result["reason"],
                **{name: text_of(trial.values.get(name, "")) for name in study.axes},
                **{name: metrics.get(name, "") for name in (study.objective, *columns)},
                **{name: trial.result.get(name, "") for name in ("epochs", "parameters", "seconds")},
            }
        )
    if rows:
        write_csv(Path(out) / "trials.csv", rows)


def write_report(study: Study, out: str | Path) -> None:
    """Write all that a study's directory says about its trials, as far as it has come.

    `trials.csv`; `best.toml`, the best configuration as a recipe; the pictures; and `README.md`, where the
    text outside of the marks `results:begin` and `results:end` is left alone.
    """
    out = Path(out)
    write_trials(study, out)
    trials = read_trials(out)
    for trial in trials:
        if trial.completed and not math.isfinite(trial.result["metrics"].get(study.objective, math.nan)):
            raise damaged(trial.folder / "result.json")
    best = best_configuration(study, configurations(study, trials))
    if best is None:
        return
    text = (best.shown.folder / "recipe.toml").read_text(encoding="utf-8")
    write_text(out / "best.toml", f"# {printable(study.name)}: {_objective(study, best)}\n{text}")
    block = _results(study, out, trials, best)
    write_block(out / "README.md", "results", block, heading=f"# {printable(study.title)}")


def _results(study: Study, out: Path, trials: list[Trial], best: Configuration) -> str:
    parts = []
    if study.table:
        parts.append(table(study, trials))
    parts.append(_winner(study, out, best))
    parts.append(_counts(trials))
    parts.append(pictures.draw(study, trials, out))
    records = [trial.record for trial in trials if trial.completed]
    made = {f"{each['backend']} {each['versions'][each['backend']]}" for each in records}
    data = records[0]["data"]
    official = f"{data['official']} official, " if data["official"] else ""
    parts.append(
        f"Recipe {_short(study.recipe)}, {study.oracle}, seed {study.seed}; {data['found']} files found, "
        f"{official}{data['parts']['train']} to train on, "
        f"{data['parts']['validation']} to choose by, {data['parts']['test']} to test; "
        f"{_listed(made)}, commit {_listed(each['commit'] for each in records)}, "
        f"{_listed(each['machine'] for each in records)}."
    )
    return "\n\n".join(parts)


def table(study: Study, trials: Iterable[Trial]) -> str:
    """The paper's table in Markdown, our column next to the paper's, and whether its finding holds.

    Our figures are on the test part: top-1, `1 - top1` where the paper's column is an error, mean average
    precision where it is mAP, in percent where the paper's are above 1; with several seeds or folds their
    mean, and the 95 % interval over them by Student's t. The objective, by which rows with several
    configurations choose theirs, is on the validation part.
    """
    paper_table = study.table
    if paper_table is None:
        raise ValueError(f"{study.name} has no table of a paper")
    rows = _rows(study, paper_table, configurations(study, trials))
    column = paper_table.column
    columns = [f"{column}, paper", f"{column}, here"] if paper_table.paper else [column]
    heads = [", ".join(paper_table.rows), *columns, study.objective, "parameters", "status"]
    lines = [_cells(heads), _cells("---" for _ in heads)]
    ours = {}
    for label, row in rows.items():
        tests = [_like_paper(paper_table, value) for value in row.values(_measure(paper_table))]
        if tests:
            ours[label] = tests
        score = row.mean(study.objective)
        lines.append(
            _cells(
                [
                    label,
                    *([_figure(paper_table, paper_table.paper.get(label))] if paper_table.paper else []),
                    _figures(paper_table, tests),
                    "" if score is None else f"{score:.4f}",
                    f"{row.shown.result['parameters']:,}" if row.completed else "",
                    _status(study, row),
                ]
            )
        )
    videos = [statistics.mean(rows[label].values("test_videos")) for label in ours]
    notes = [f"The paper's column is that of {study.paper}." if study.paper else "", paper_table.note]
    if any(len(tests) > 1 for tests in ours.values()):
        notes += [f"Ours are means over the {study.repeats} ± their 95 % intervals (Student)."]
    notes += [_verdict(study, paper_table, ours, min(videos, default=0)) if paper_table.paper else ""]
    return "\n".join([*lines, "", " ".join(note for note in notes if note)]).rstrip()


def _cells(texts: Iterable[str]) -> str:
    return f"| {' | '.join(printable(text).replace('|', '/') for text in texts)} |"


def _rows(study: Study, paper_table: PaperTable, found: Iterable[Configuration]) -> dict[str, Configuration]:
    """The best configuration of each row, or, where none has a result, its first; the paper's come first."""
    groups: dict[str, list[Configuration]] = {label: [] for label in paper_table.paper}
    for each in found:
        groups.setdefault(paper_table.label(each.shown.values), []).append(each)
    return {label: best_configuration(study, group) or group[0] for label, group in groups.items() if group}


def _status(study: Study, row: Configuration) -> str:
    """What became of a configuration's trials."""
    if len(row.trials) > 1:
        return f"{len(row.completed)} of {len(row.trials)} {study.repeats} completed"
    result = row.shown.result
    return result["status"].lower() + (f": {result['reason']}" if result["reason"] else "")


def _verdict(
    study: Study, paper_table: PaperTable, ours: Mapping[str, Sequence[float]], videos: float
) -> str:
    """Whether the paper's best row is the best one here too, and which of its orders of two rows hold.

    The paper's finding, that its best row is the best, holds where this row leads all that the paper puts
    behind it, and does not where one of them leads it, in both cases by more than the margin of chance.
    """
    ranked = sorted(paper_table.paper, key=paper_table.paper.__getitem__, reverse=not _is_error(paper_table))
    best = ranked[0]
    if best not in ours:
        return f"The paper's best row, `{best}`, has no result here."
    pairs = [
        (one, other)
        for one, other in itertools.combinations([label for label in ranked if label in ours], 2)
        if paper_table.paper[one] != paper_table.paper[other]
    ]
    if not any(one == best for one, _ in pairs):
        return "Too few rows to compare."
    if _measure(paper_table) == "test_map" and min(len(each) for each in ours.values()) < 2:
        return "One seed: whether mAP differs by more than chance cannot be told."
    sign = -1 if _is_error(paper_table) else 1
    means = {label: statistics.mean(figures) for label, figures in ours.items()}
    leads = {(one, other): sign * (means[one] - means[other]) for one, other in pairs}
    margins, by = _margin(study, paper_table, ours, pairs, videos)
    seen = [pair for pair in pairs if leads[pair] > margins[pair]]
    turned = [pair for pair in pairs if leads[pair] < -margins[pair]]
    rivals = [pair for pair in pairs if pair[0] == best]
    verdict = "Too little data to tell whether the finding holds."
    if any(pair in turned for pair in rivals):
        verdict = "The finding does not hold here."
    elif all(pair in seen for pair in rivals):
        verdict = "The finding holds here."
    strongest = min(rivals, key=lambda pair: leads[pair] + margins[pair])
    lead = f"{_figure(paper_table, abs(leads[strongest]))} ± {_figure(paper_table, margins[strongest])}"
    where = "ahead of" if leads[strongest] >= 0 else "behind"
    parts = [
        f"The paper's best row, `{best}`, is {lead} {where} `{strongest[1]}` here ({by}). **{verdict}**",
    ]
    if len(pairs) > 1:
        here = _named([pair[::-1] for pair in turned])
        parts.append(
            f"Of the paper's {len(pairs)} orders of two rows: {len(seen)} the same here{_named(seen)}, "
            f"{len(turned)} reversed{here}, {len(pairs) - len(seen) - len(turned)} too close to tell."
        )
    return " ".join(parts)


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    return f" ({'; '.join(f'`{one}` before `{other}`' for one, other in pairs)})" if pairs else ""


def _margin(
    study: Study,
    paper_table: PaperTable,
    ours: Mapping[str, Sequence[float]],
    pairs: Sequence[tuple[str, str]],
    videos: float,
) -> tuple[dict[tuple[str, str], float], str]:
    """How large a difference chance alone may give each pair of rows, and how that was computed.

    With several seeds in every row: Tukey's 95 % intervals, all pairs of rows at once, with the spread of the
    seeds taken from all rows; they are over the same test videos and say nothing about others. With one: two
    standard errors of the difference of two shares of so many videos, which say nothing about other seeds.
    A difference below one video is never told from chance.
    """
    unit = 100 if _is_percent(paper_table) else 1
    least = unit / videos
    labels = list(dict.fromkeys(label for pair in pairs for label in pair))
    seeds = [len(ours[label]) for label in labels]
    if min(seeds) > 1:
        samples = [ours[label] for label in labels]
        found = {(one, other): _tukey(ours[one], ours[other], samples) for one, other in pairs}
        tested = f"the same {videos:.0f}" if study.repeats == "seeds" else f"each with {videos:.0f}"
        count = f"{len(pairs)} pairs" if len(pairs) > 1 else "one pair"
        by = f"{min(seeds)} {study.repeats}, {tested} test videos, Tukey's interval for {count}"
    else:
        shares = {label: min(max(statistics.mean(ours[label]) / unit, 0.0), 1.0) for label in labels}
        variances = {label: share * (1 - share) / videos for label, share in shares.items()}
        found = {pair: 2 * unit * math.sqrt(sum(variances[label] for label in pair)) for pair in pairs}
        by = f"one seed, {videos:.0f} test videos, two standard errors"
    return {pair: max(width, least) for pair, width in found.items()}, by


def _tukey(one: Sequence[float], other: Sequence[float], samples: Sequence[Sequence[float]]) -> float:
    """Half width of Tukey's 95 % interval for the difference of two samples' means, all pairs at once.

    `q sqrt(s^2 (1/n + 1/m) / 2)`, with `s^2` the variance within all samples (Tukey and Kramer).
    """
    from scipy.stats import studentized_range

    freedom = sum(len(sample) - 1 for sample in samples)
    within = sum((len(sample) - 1) * statistics.variance(sample) for sample in samples) / freedom
    range_ = studentized_range.ppf(0.95, len(samples), freedom)
    return float(range_) * math.sqrt(within * (1 / len(one) + 1 / len(other)) / 2)


def _measure(paper_table: PaperTable | None) -> str:
    """Which metric of a trial the figures of a table are made of."""
    return "test_map" if paper_table is not None and "map" in paper_table.column.lower() else "test_top1"


def _is_error(paper_table: PaperTable) -> bool:
    return "error" in paper_table.column.lower()


def _is_percent(paper_table: PaperTable) -> bool:
    return any(value > 1 for value in paper_table.paper.values())


def _like_paper(paper_table: PaperTable, value: float) -> float:
    value = 1 - value if _is_error(paper_table) else value
    return 100 * value if _is_percent(paper_table) else value


def _figure(paper_table: PaperTable, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if _is_percent(paper_table) else f"{value:.3f}"


def _figures(paper_table: PaperTable, tests: Sequence[float]) -> str:
    """The figures of the seeds as text: their mean, and the half width of its interval."""
    if len(tests) < 2:
        return "".join(_figure(paper_table, test) for test in tests)
    return " ± ".join(_figure(paper_table, value) for value in student_interval(tests))


def _winner(study: Study, out: Path, best: Configuration) -> str:
    """The best configuration, and its runs with other seeds: mean and 95 % interval."""
    lines = [f"Best: {_objective(study, best)}, with {' '.join(best.overrides)} (`best.toml`)."]
    runs = [run for run in read_trials(out, f"winner/{best.trials[0].name}") if run.completed]
    for name in (study.objective, _measure(study.table)):
        values = [run.result["metrics"][name] for run in runs if name in run.result["metrics"]]
        if values:
            each = ", ".join(f"{value:.4f}" for value in values)
            seeds = "seed" if len(values) == 1 else "seeds"
            lines.append(f"Trained again with {len(values)} {seeds}: {name} {interval(values)} ({each}).")
    protocol = next((run.result["protocol"] for run in runs if run.result["protocol"]), "")
    return "\n".join([*lines, f"Protocol of the test: {protocol}." if protocol else ""]).rstrip()


def interval(values: Sequence[float]) -> str:
    """Mean and half width of Student's interval as text; of one value the value."""
    return " ± ".join(f"{value:.4f}" for value in (values if len(values) < 2 else student_interval(values)))


def _counts(trials: Sequence[Trial]) -> str:
    lines = [f"{len(trials)} trials, {sum(trial.completed for trial in trials)} completed."]
    lines += [
        f"- trial {trial.name} failed: {trial.result['reason']}"
        for trial in trials
        if trial.result["status"] == "FAILED"
    ]
    return "\n".join(lines)


def _objective(study: Study, best: Configuration) -> str:
    """Which trials the best configuration is, and its objective."""
    names = [str(int(trial.name)) for trial in best.completed]
    words = f"trial {names[0]}," if len(names) == 1 else f"trials {', '.join(names)}, mean"
    return f"{words} {study.objective} {best.mean(study.objective):.4f}"


def _listed(texts: Iterable[str | None]) -> str:
    return "; ".join(sorted({str(text or "unknown") for text in texts}))


def _short(recipe: str) -> str:
    return Path(recipe).name if Path(recipe).is_absolute() else recipe
