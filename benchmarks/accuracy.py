"""Train recipes over folds and seeds; write zoo/*/results.csv and the tables on the pages.

    python benchmarks/accuracy.py synthetic
    python benchmarks/accuracy.py fight --data FOLDER --jobs 2
    python benchmarks/accuracy.py thetis --data FOLDER/index.csv
    python benchmarks/accuracy.py ego_gestures --data FOLDER/index.csv --only tsm/own --only gsm/own

The synthetic set is made here. FOLDER holds the set in its official layout, or the fight clips and index.csv
(`path,label,group,fold`), or features of THETIS and index.csv (`path,label,group,split`). own_poses.py writes
poses and their index.csv. Nothing is chosen by the scores. A run that is in --out already is not repeated;
with --only, the rows of other recipes stay.
"""

import argparse
import math
import multiprocessing
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_actrec import data, evaluation, load, training
from keras_actrec._children import end_with_parent
from keras_actrec._files import write_block
from keras_actrec.errors import UserError


@dataclass(frozen=True)
class Line:
    """A line of a table: a recipe with changes, in words, and what it sees.

    The recipe `MODEL/chosen` is what `train` chooses for the data where no recipe is named, if this
    model is asked for. A line that takes long may have fewer seeds than the others.
    """

    words: str
    sees: str
    recipe: str
    changes: tuple[str, ...] = ()
    most_seeds: int | None = None

    def seeds(self, about: "Experiment") -> range:
        """The seeds of its runs."""
        return range(about.seeds if self.most_seeds is None else self.most_seeds)


@dataclass(frozen=True)
class Table:
    """Lines over the same folds.

    `compare`: which two of the lines differ in what. `together`: which lines' seeds answer as one too, by the
    mean of their probabilities.
    """

    title: str
    lines: tuple[Line, ...]
    folds: tuple[int | None, ...] = (None,)
    compare: tuple[tuple[int, int, str], ...] = ()
    together: tuple[int, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """Tables of one set, all with the same seeds, and the models whose pages have them, as README.md."""

    tables: tuple[Table, ...]
    chance: str
    pages: tuple[str, ...]
    seeds: int = 5


DIFFERENCES, FRAMES, CLIPS = "differences of frames", "frames", "clips, from random weights"
TURNED, STRAIGHT = "joints, turned in training", "joints, not turned"
STREAMS, BEST = "joints, bones, their steps, distances, turned", "EleAtt-GRU with what helps"
NO_TURN = "skeleton.rotation=0.0"


def skeleton_lines(name: str, *split: str) -> tuple[Line, ...]:
    """The GRU and the gated networks on joints, all trained alike."""
    gated, plain = f"eleatt_rnn/{name}", f"stacked_rnn/{name}"

    def line(words: str, recipe: str, *changes: str, sees: str = TURNED) -> Line:
        return Line(words, sees, recipe, (*split, *changes))

    return (
        line("GRU", plain),
        line("EleAtt-GRU", gated),
        line("EleAtt-GRU, gate on layer 1", gated, "model.attention_layers=[1]"),
        line("EleAtt-GRU, gates on layers 1 and 2", gated, "model.attention_layers=[1,2]"),
        line("EleAtt-GRU, softmax gates", gated, "model.attention_activation=softmax"),
        line("RNN", plain, "model.cell=rnn"),
        line("EleAtt-RNN", gated, "model.cell=rnn"),
        line("LSTM", plain, "model.cell=lstm"),
        line("EleAtt-LSTM", gated, "model.cell=lstm"),
        line("GRU", plain, NO_TURN, sees=STRAIGHT),
        line("EleAtt-GRU", gated, NO_TURN, sees=STRAIGHT),
    )


def fight_lines(sees: str, *changes: str) -> tuple[Line, ...]:
    """HM-AN with its four attentions and its baselines, on features of frames or of their differences."""

    def line(words: str, model: str, *more: str) -> Line:
        return Line(words, sees, f"{model}/fight", (*changes, *more))

    return (
        line("HM-AN, Gumbel-softmax, adaptive temperature", "hman"),
        line("HM-AN, Gumbel-softmax, constant temperature", "hman", "model.attention=gumbel_constant"),
        line("HM-AN, REINFORCE", "hman", "model.attention=reinforce"),
        line("HM-AN, soft attention", "hman", "model.attention=soft"),
        line("attention LSTM", "lstm_attention"),
        line("GRU over frames", "frame_gru"),
        line("softmax regression", "softmax_regression"),
    )


SKELETON_PAIR = (
    Line("GRU", TURNED, "stacked_rnn/utkinect"),
    Line("EleAtt-GRU", TURNED, "eleatt_rnn/utkinect"),
    Line("GRU", STRAIGHT, "stacked_rnn/utkinect", (NO_TURN,)),
    Line("EleAtt-GRU", STRAIGHT, "eleatt_rnn/utkinect", (NO_TURN,)),
)
GATE = "the gate"
CHOSEN = "GRU in both directions, as `train` chooses without a recipe"
SQUARES = "features of frames and small gray frames"
PIXELS = "17 joints in pixels"
POSES = (
    Line("GRUs in both directions, as `train` chooses without a recipe", PIXELS, "stacked_rnn/chosen"),
    Line("the same with gates, as it chooses for eleatt_rnn", PIXELS, "eleatt_rnn/chosen"),
)
EXPERIMENTS = {
    "synthetic": Experiment(
        tables=(
            Table(
                "Synthetic set: 10 classes in 5 pairs that differ in the order of their frames only",
                lines=(
                    Line("HM-AN", DIFFERENCES, "hman/synthetic"),
                    Line(
                        "HM-AN, attention on location alone",
                        DIFFERENCES,
                        "hman/synthetic",
                        ("model.content=false",),
                    ),
                    Line("EleAtt-GRU", DIFFERENCES, "eleatt_rnn/synthetic"),
                    Line("GSM", CLIPS, "gsm/synthetic"),
                    Line("TSM", CLIPS, "tsm/synthetic"),
                    Line("STRN, context 3", CLIPS, "strn/synthetic"),
                    Line("TSN, which sees no order", CLIPS, "tsn/synthetic"),
                    Line("frame average, which sees no order", FRAMES, "frame_pool/synthetic"),
                ),
            ),
        ),
        seeds=3,
        chance=".10; .50 for a model that sees all but the order",
        pages=("hman",),
    ),
    "fight": Experiment(
        tables=(
            Table(
                "Fight clips: `fight` / `noFight`, three group-wise folds",
                lines=(*fight_lines(DIFFERENCES), *fight_lines(FRAMES, "model.motion=false")[-2:]),
                folds=(0, 1, 2),
                compare=(
                    (0, 1, "adapting the temperature"),
                    (0, 3, "hard attention in place of soft"),
                    (0, 4, "the hierarchy"),
                    (0, 5, "HM-AN in place of a GRU over frames"),
                ),
            ),
        ),
        chance=".50",
        pages=("hman",),
    ),
    "ego_gestures": Experiment(
        tables=(
            Table(
                "Ego gestures: 10 gestures of a hand, filmed from the head, four folds by scene",
                lines=(
                    Line(CHOSEN, SQUARES, "stacked_rnn/chosen"),
                    Line("the same with a gate", SQUARES, "eleatt_rnn/videos", most_seeds=1),
                    *(
                        Line(f"HM-AN, {words}", SQUARES, "hman/own", tuple(changes), most_seeds=1)
                        for words, *changes in (
                            ("soft attention",),
                            ("Gumbel-softmax, adaptive temperature", "model.attention=gumbel_adaptive"),
                            ("Gumbel-softmax, constant temperature", "model.attention=gumbel_constant"),
                        )
                    ),
                    *(
                        Line(words, "features of frames", f"{model}/own", most_seeds=1)
                        for words, model in (
                            ("attention LSTM", "lstm_attention"),
                            ("GRU over frames", "frame_gru"),
                            ("softmax regression", "softmax_regression"),
                            ("frame average, which sees no order", "frame_pool"),
                        )
                    ),
                ),
                folds=(0, 1, 2, 3),
                compare=(
                    (1, 0, GATE),
                    (2, 6, "HM-AN in place of a GRU over frames"),
                    (3, 2, "hard attention in place of soft"),
                    (3, 4, "adapting the temperature"),
                ),
            ),
            Table(
                "Ego gestures, one fold, next to models that take long to train",
                lines=(
                    Line(CHOSEN, SQUARES, "stacked_rnn/chosen"),
                    Line("HM-AN, soft attention", SQUARES, "hman/own", most_seeds=1),
                    Line(
                        "HM-AN, REINFORCE", SQUARES, "hman/own", ("model.attention=reinforce",), most_seeds=1
                    ),
                    *(
                        Line(words, "maps of features", f"{model}/own", most_seeds=1)
                        for words, model in (("Conv-Attention", "conv_attention"), ("CHAM", "cham"))
                    ),
                    *(
                        Line(words, "clips, from a network of ImageNet", f"{model}/own", most_seeds=1)
                        for words, model in (
                            ("TSN, which sees no order", "tsn"),
                            ("TSM", "tsm"),
                            ("GSM", "gsm"),
                            ("SA-GSM", "sa_gsm"),
                            ("TRN", "trn"),
                            ("STRN", "strn"),
                        )
                    ),
                ),
                folds=(0,),
            ),
            Table(
                "Ego gestures, 8 clips of a class to learn from",
                lines=(
                    Line(
                        CHOSEN,
                        SQUARES,
                        "stacked_rnn/chosen",
                        ("data.per_class=8", "train.epochs=180"),  # as many updates as with all clips
                        most_seeds=1,
                    ),
                ),
                folds=(0, 1, 2, 3),
            ),
        ),
        seeds=3,
        chance=".10",
        pages=("stacked_rnn",),
    ),
    "fight_chosen": Experiment(
        tables=(
            Table(
                "Fight clips, with the same choice",
                lines=(Line(CHOSEN, SQUARES, "stacked_rnn/chosen"),),
                folds=(0, 1, 2),
            ),
        ),
        seeds=3,
        chance=".50",
        pages=("stacked_rnn",),
    ),
    "utkinect": Experiment(
        tables=(
            Table(
                "UTKinect-Action3D: skeletons of 10 actions, odd subjects train, even ones test",
                lines=(
                    *SKELETON_PAIR,
                    Line(
                        BEST,
                        STREAMS,
                        "eleatt_rnn/best",
                        (
                            "data.dataset=utkinect",
                            "data.split=odd_even",
                            "data.options=",
                            "train.batch_size=16",
                            "train.epochs=100",
                            "model.units=64",
                        ),
                    ),
                ),
                compare=((1, 0, GATE), (3, 2, GATE), (0, 2, "turning")),
                together=(0, 1),
            ),
        ),
        chance=".10",
        pages=("eleatt_rnn",),
    ),
    "own_poses_northwestern_ucla": Experiment(
        tables=(
            Table(
                "Your own poses: Northwestern-UCLA as an estimator sees it, flat, views 1 and 2, five folds",
                lines=POSES,
                folds=(0, 1, 2, 3, 4),
            ),
        ),
        seeds=1,
        chance=".10",
        pages=("stacked_rnn",),
    ),
    "own_poses_utkinect": Experiment(
        tables=(
            Table(
                "Your own poses: UTKinect-Action3D as an estimator sees it, flat, odd subjects train, even "
                "ones test",
                lines=POSES,
            ),
        ),
        chance=".10",
        pages=("stacked_rnn",),
    ),
    "basic_motions": Experiment(
        tables=(
            Table(
                "BasicMotions: accelerometer and gyroscope of a watch, 4 actions",
                lines=(
                    Line("GRU", "both sensors", "stacked_rnn/basic_motions"),
                    Line("EleAtt-GRU", "both sensors", "eleatt_rnn/basic_motions"),
                ),
                compare=((1, 0, GATE),),
            ),
        ),
        chance=".25",
        pages=("eleatt_rnn",),
    ),
    "thetis": Experiment(
        tables=(
            Table(
                "THETIS: features of the frames of 12 tennis strokes, odd players train, even ones test",
                lines=(
                    Line("GRU", "features of frames", "stacked_rnn/features"),
                    Line("EleAtt-GRU", "features of frames", "eleatt_rnn/features"),
                ),
                compare=((1, 0, GATE),),
                together=(0, 1),
            ),
        ),
        chance=".08",
        pages=("eleatt_rnn",),
    ),
    "northwestern_ucla": Experiment(
        tables=(
            Table(
                "Northwestern-UCLA: skeletons of 10 actions, view 1 trains, view 2 tests",
                lines=(
                    *skeleton_lines("northwestern_ucla", "data.split=view1_view2"),
                    Line(BEST, STREAMS, "eleatt_rnn/best", ("data.split=view1_view2",)),
                    Line(
                        "ST-GCN, the yardstick",
                        TURNED,
                        "st_gcn/northwestern_ucla",
                        ("data.split=view1_view2",),
                        most_seeds=1,
                    ),
                ),
                compare=(
                    (1, 0, GATE),
                    (1, 2, "a gate on layers 2 and 3 as well"),
                    (1, 3, "a gate on layer 3 as well"),
                    (1, 4, "a sigmoid in place of the softmax"),
                    (6, 5, GATE),
                    (8, 7, GATE),
                    (10, 9, GATE),
                    (0, 9, "turning"),
                ),
                together=(0, 1),
            ),
            Table(
                "Northwestern-UCLA: skeletons of 10 actions, views 1 and 2, five folds by subject",
                lines=(
                    *skeleton_lines("northwestern_ucla", "data.split=five_folds")[:2],
                    Line(BEST, STREAMS, "eleatt_rnn/best", ("data.split=five_folds",)),
                ),
                folds=(0, 1, 2, 3, 4),
                compare=((1, 0, GATE),),
            ),
        ),
        chance=".10",
        pages=("eleatt_rnn",),
    ),
}
ROOT = Path(__file__).parents[1]


def overrides_of(line: Line, fold: int | None, seed: int) -> tuple[str, ...]:
    """What a run changes in its recipe."""
    return (*line.changes, *([] if fold is None else [f"data.test_fold={fold}"]), f"train.seed={seed}")


def run_of(out: Path, line: Line, fold: int | None, seed: int) -> Path:
    """The directory of a run."""
    changes = (change.replace("=", "_") for change in overrides_of(line, fold, seed))
    return out / "-".join([line.recipe.replace("/", "-"), *changes])


def run_one(
    experiment: str, folder: Path, out: Path, line: Line, fold: int | None, seed: int
) -> dict[str, str]:
    """Train and score one model; its row of results.csv."""
    run, overrides = run_of(out, line, fold, seed), overrides_of(line, fold, seed)
    recipe: str | Path = line.recipe
    if line.recipe.endswith("/chosen"):
        recipe, _, _ = training.choose_for_run(folder, run, model=line.recipe.removesuffix("/chosen"))
    values = training.read_recipe(recipe, overrides)
    if not (run / "model.keras").exists():
        training.train(values, folder, run, name=str(recipe), overrides=overrides, cache=out / "cache")
    elif training.read_recipe(run / "recipe.toml") != values:
        raise UserError(f"{run} holds a run of another recipe: remove it, or choose another --out")
    if not (run / "test.json").exists():
        evaluation.evaluate(load(run / "model.keras"), folder, floors=True).write_json(run / "test.json")
    keras.backend.clear_session()
    return row_of(experiment, line, run)


def row_of(experiment: str, line: Line, run: Path) -> dict[str, str]:
    """The row of a run, called as the experiment, which a recipe for data of one's own is not."""
    return evaluation.result_row(run) | {"experiment": experiment, "recipe": line.recipe}


def begin_worker() -> None:
    """End this worker when the program is killed, so that it writes into no run directory after that."""
    end_with_parent(multiprocessing.parent_process().join)


def run_all(
    experiment: str, folder: Path, out: Path, jobs: int, only: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Train and score the models of an experiment, `jobs` at a time; their rows in the order of the lines.

    Of all recipes, or of some, as `"hman/own"` or `"hman/own model.attention=soft"` names them; those of the
    other recipes are the rows that were written before.
    """
    about = EXPERIMENTS[experiment]
    kept = [row for row in results() if row["experiment"] == experiment]

    def asked(recipe: str, changes: str) -> bool:
        return not only or recipe in only or f"{recipe} {changes}" in only

    wanted = [
        (line, fold, seed)
        for table in about.tables
        for line in table.lines
        for fold in table.folds
        for seed in line.seeds(about)
    ]
    # A line may be in tables of all folds and of one.
    runs = list(dict.fromkeys(run for run in wanted if asked(run[0].recipe, " ".join(run[0].changes))))
    # Fresh interpreters: a forked one would inherit the backend's locked threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, initializer=begin_worker) as pool:
        started = {pool.submit(run_one, experiment, folder, out, *run): run for run in runs}
        for done, future in enumerate(as_completed(started), 1):
            row = future.result()
            print(
                f"{done} of {len(runs)}: {row['recipe']} {row['set']} fold {row['fold'] or '-'} "
                f"seed {row['seed']} top-1 {row['top1']} ({row['seconds']} s)",
                flush=True,
            )
    rows = [row for row in kept if not asked(row["recipe"], row["set"])]
    rows += [future.result() for future in started]
    for table in about.tables:
        together = [table.lines[number] for number in table.together]
        together = [line for line in together if asked(line.recipe, " ".join(line.changes))]
        rows += [answer_together(experiment, folder, out, line, about.seeds) for line in together]
    return rows


def answer_together(experiment: str, folder: Path, out: Path, line: Line, seeds: int) -> dict[str, str]:
    """The row of the models of all seeds as one, whose seed is `0+1+2`."""
    runs = [run_of(out, line, None, seed) for seed in range(seeds)]
    found = evaluation.ensemble([evaluation.evaluate(load(run / "model.keras"), folder) for run in runs])
    rows = [row_of(experiment, line, run) for run in runs]
    return rows[0] | {
        "seed": "+".join(map(str, range(seeds))),
        "top1": f"{found.top1:.4f}",
        "mean_class": f"{found.mean_class:.4f}",
        "protocol": found.protocol,
        "commit": "; ".join(sorted({row["commit"] for row in rows})),
        "seconds": str(round(sum(float(row["seconds"]) for row in rows), 1)),
    }


def tables(experiment: str, rows: Iterable[dict[str, str]]) -> str:
    """The experiment's tables in Markdown, from rows of results.csv."""
    about = EXPERIMENTS[experiment]
    rows = [row for row in rows if row["experiment"] == experiment]
    return "\n\n".join(table(each, rows, about) for each in about.tables)


def table(about: Table, rows: Sequence[dict[str, str]], experiment: Experiment) -> str:
    """One table in Markdown, with what its lines show of each other, and how its numbers were made."""
    lines = [f"{about.title}.", "", "| model | sees | top-1 | 95 % | seeds |", "|---|---|---|---|---|"]
    lines += floor_of(about, rows)
    used, found = [], []
    for line in about.lines:
        values = seeds_of(line, rows, about, experiment)
        ours, together = rows_of(line, rows, about)
        used += ours
        found.append(values)
        lines.append(
            f"| {line.words} ({line.recipe}) | {line.sees} | {mean_and_bounds(values)} | "
            f"{', '.join(f'{value:.3f}' for value in values)} |"
        )
        lines += [
            f"| {line.words}, its {experiment.seeds} seeds together | {line.sees} | "
            f"{float(row['top1']):.3f} | | |"
            for row in together
        ]
    if about.compare:
        lines += ["", "Seed by seed, over the same test clips:", ""]
    for one, other, what in about.compare:
        pair = about.lines[one], about.lines[other]
        lines.append(f"- {difference(*pair, found[one], found[other], what)}.")
    return "\n".join([*lines, "", how_made(used, found, experiment.chance)])


def difference(one: Line, other: Line, ours: Sequence[float], theirs: Sequence[float], what: str) -> str:
    """What two lines differ by, from the top-1 of their seeds, and whether `what` helps."""
    if len(ours) == 1:
        return f"{one.words} minus {other.words}, one seed: {ours[0] - theirs[0]:+.3f}"
    mean, half = evaluation.student_interval([a - b for a, b in zip(ours, theirs, strict=True)])
    low, high = mean - half, mean + half
    verdict = "helps" if low > 0 else "harms" if high < 0 else "makes no difference that these seeds show"
    if one.words == other.words:
        pair = f"{one.words}, {one.sees} minus {other.sees}"
    else:
        pair = f"{one.words} minus {other.words}, {one.sees}"
    return f"{pair}: {mean:+.3f} ({low:+.3f} to {high:+.3f}): {what} {verdict}"


def how_made(used: Sequence[dict[str, str]], found: Sequence[Sequence[float]], chance: str) -> str:
    """What stands below a table: how its numbers were made, and how sure so many test clips are."""
    clips = sum(int(row["videos"]) for row in used) // sum(len(values) for values in found)
    means = [statistics.mean(values) for values in found]
    error = max(math.sqrt(mean * (1 - mean) / clips) for mean in means)

    def listed(column: str) -> str:
        return "; ".join(sorted({row[column] for row in used}))

    return (
        f"{averaged({len(values) for values in found})}, each over {clips} test clips "
        f"({used[0]['found']} found), whose own standard error is at most {error:.3f}; chance {chance}. "
        f"Protocol{'s' if '; ' in listed('protocol') else ''}: {listed('protocol')}. "
        f"{listed('backend')}, commit {listed('commit')}."
    )


def averaged(counts: set[int]) -> str:
    """What the numbers of lines with so many seeds are."""
    if counts == {1}:
        return "One seed"
    words = f"Mean of {max(counts)} seeds and its interval over them (Student)"
    return words if len(counts) == 1 else f"{words}, or a single seed, which has none"


def floor_of(about: Table, rows: Sequence[dict[str, str]]) -> list[str]:
    """A line of the highest floor of each fold, pooled; none where they were not computed."""
    used = [row for line in about.lines for row in rows_of(line, rows, about)[0]]
    ours = {row["fold"]: row for row in used if row.get("floor")}
    if not ours:
        return []
    videos = sum(int(row["videos"]) for row in ours.values())
    value = sum(float(row["floor"]) * int(row["videos"]) for row in ours.values()) / videos
    names = ", ".join(sorted({row["floor_of"] for row in ours.values()}))
    return [f"| floor: logistic regression | {names} | {value:.3f} | | |"]


def rows_of(
    line: Line, rows: Iterable[dict[str, str]], about: Table
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of a line's runs on a table's folds, then that of its seeds together, where it exists."""
    folds = {"" if fold is None else str(fold) for fold in about.folds}
    ours = [
        row
        for row in rows
        if (row["recipe"], row["set"]) == (line.recipe, " ".join(line.changes)) and row["fold"] in folds
    ]
    return [row for row in ours if "+" not in row["seed"]], [row for row in ours if "+" in row["seed"]]


def seeds_of(line: Line, rows: Iterable[dict[str, str]], about: Table, experiment: Experiment) -> list[float]:
    """Top-1 of each seed of a line, over all folds of a table."""
    ours, _ = rows_of(line, rows, about)
    return [pooled([row for row in ours if int(row["seed"]) == seed]) for seed in line.seeds(experiment)]


def mean_and_bounds(values: Sequence[float]) -> str:
    """Two cells of a row: mean of some seeds, and its interval, cut to shares; one seed has none."""
    if len(values) == 1:
        return f"{values[0]:.3f} | "
    mean, half = evaluation.student_interval(values)
    return f"{mean:.3f} | {max(mean - half, 0):.3f} to {min(mean + half, 1):.3f}"


def pooled(rows: Sequence[dict[str, str]]) -> float:
    """Share of all videos of these rows that are right."""
    return sum(float(row["top1"]) * int(row["videos"]) for row in rows) / sum(
        int(row["videos"]) for row in rows
    )


def results() -> list[dict[str, str]]:
    """All rows of zoo/*/results.csv."""
    files = sorted((ROOT / "zoo").glob("*/results.csv"))
    return [row for file in files for row in evaluation.read_results(file)]


def write(experiment: str, rows: Sequence[dict[str, str]]) -> None:
    """Put the rows into the results.csv of their models, and the tables of these files into the pages."""
    for model in sorted({row["recipe"].split("/")[0] for row in rows}):
        ours = [row for row in rows if row["recipe"].startswith(f"{model}/")]
        evaluation.write_results(ROOT / "zoo" / model / "results.csv", ours)
    write_pages(experiment)


def write_pages(experiment: str) -> None:
    """Put the tables of zoo/*/results.csv into the pages, and their summary into README.md."""
    rows = results()
    for model in EXPERIMENTS[experiment].pages:
        write_block(ROOT / "zoo" / model / "README.md", experiment, tables(experiment, rows))
    write_block(ROOT / "README.md", "results", summary(rows))


def summary(rows: Sequence[dict[str, str]]) -> str:
    """One table of all experiments: the lines that are recipes without a change."""
    lines = ["| data | model | sees | top-1 | 95 % |", "|---|---|---|---|---|"]
    for experiment, about in EXPERIMENTS.items():
        ours = [row for row in rows if row["experiment"] == experiment]
        if not ours:  # not run yet
            continue
        page = about.pages[0]
        for table in about.tables:
            data = f"[{table.title}](zoo/{page}/README.md#results)"
            for line in table.lines:
                if all(change.startswith("data.") for change in line.changes):
                    found = mean_and_bounds(seeds_of(line, ours, table, about))
                    lines.append(f"| {data} | {line.words} | {line.sees} | {found} |")
                    data = ""
    return "\n".join(lines)


def main() -> None:
    """Run one experiment and write its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--data", type=Path, help="folder of the set")
    parser.add_argument("--out", type=Path, help="default runs/EXPERIMENT")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--only", action="append", default=[], metavar="RECIPE", help="train this one alone")
    arguments = parser.parse_args()
    out = arguments.out or Path("runs") / arguments.experiment
    if arguments.experiment == "synthetic":
        folder = out / "videos"
        if not (folder / "manifest.csv").exists():
            data.write_synthetic(folder, clips_per_class=120, test_fraction=0.2)
    elif arguments.data is None:
        parser.error(f"{arguments.experiment} needs --data FOLDER")
    else:
        folder = arguments.data
    rows = run_all(arguments.experiment, folder, out, arguments.jobs, arguments.only)
    write(arguments.experiment, rows)
    print(tables(arguments.experiment, results()))


if __name__ == "__main__":
    main()
