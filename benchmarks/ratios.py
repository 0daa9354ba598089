"""Keep what each release was measured at, tell what got slower, and draw the last.

    python benchmarks/ratios.py add VERSION FILE...     # files of --json of the other programs
    python benchmarks/ratios.py compare                 # the last two; status 1 if something got slower
    python benchmarks/ratios.py draw ratios.png

Ratios are kept and not seconds: ours and the peer ran in turn in one process, so that a ratio means the same
on machines that are not alike. `ratios.json` next to this file has them.
"""

import argparse
import json
import sys
from pathlib import Path

KEPT = Path(__file__).with_name("ratios.json")
NOISE = 0.1  # of a ratio: less is no news
COLORS = {"jax": "#0072B2", "torch": "#D55E00", "tensorflow": "#E69F00"}  # told apart by all eyes


def add(version, files, kept=KEPT):
    """Keep the ratios of a version; what it was measured at before is replaced, backend by backend."""
    releases = read(kept)
    release = releases.setdefault(version, {})
    for file in files:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
        of_backend = release.setdefault(found["backend"], {"machine": found["machine"], "ratios": {}})
        of_backend["machine"] = found["machine"]
        for row in found["rows"]:
            if "ratio" in row:
                name = row["what"] if row["ours"] == "ours" else f"{row['what']}, {row['ours']}"
                of_backend["ratios"][f"{name} / {row['peer']}"] = row["ratio"]
    kept.write_text(json.dumps(releases, indent=1) + "\n", encoding="utf-8")


def read(kept=KEPT):
    """The ratios of each version, in the order in which they were added."""
    return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}


def slower(before, after):
    """Lines on what got slower by more than noise from one release to another."""
    lines = []
    for backend, now in after.items():
        then = before.get(backend, {"ratios": {}})["ratios"]
        for name, ratio in now["ratios"].items():
            if name in then and ratio > then[name] * (1 + NOISE):
                lines.append(f"slower: {backend} {name}: {then[name]:.2f} -> {ratio:.2f}")
    return lines


def draw(release, version, path):
    """Bars of the ratios to plain PyTorch, a group each network, a color each backend."""
    import matplotlib.pyplot as plt

    peer = " / plain torch"
    names = [name for each in release.values() for name in each["ratios"] if name.endswith(peer)]
    names = [name for name in dict.fromkeys(names) if ", ours" not in name and "keras" not in name][::-1]
    height = 0.8 / len(release)
    figure, axes = plt.subplots(figsize=(7.5, 0.55 * len(names) + 1.2), layout="constrained")
    for index, (backend, each) in enumerate(release.items()):
        rows = [row for row, name in enumerate(names) if name in each["ratios"]]
        ratios = [each["ratios"][names[row]] for row in rows]
        places = [row + 0.4 - height * (index + 0.5) for row in rows]
        bars = axes.barh(places, ratios, height, color=COLORS[backend], label=backend)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # over the line at 1
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, bbox=ground)
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set_yticks(range(len(names)), [name.removesuffix(peer) for name in names])
    figure.supxlabel("CPU time, ours / plain PyTorch, one thread (shorter is faster)", fontsize=10)
    figure.suptitle(f"keras_actrec {version}", x=0.01, ha="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12, y=0.01)
    figure.legend(frameon=False, loc="outside upper right", ncols=len(release))
    figure.savefig(path, dpi=150)


def main():
    """Add, compare or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add")
    adding.add_argument("version")
    adding.add_argument("files", nargs="+")
    commands.add_parser("compare")
    commands.add_parser("draw").add_argument("path")
    arguments = parser.parse_args()
    if arguments.command == "add":
        return add(arguments.version, arguments.files)
    releases = list(read().items())
    if not releases:
        sys.exit(f"{KEPT} has no release yet: add one")
    if arguments.command == "draw":
        return draw(releases[-1][1], releases[-1][0], arguments.path)
    if len(releases) < 2:
        sys.exit(f"{KEPT} has one release: there is nothing to compare it with")
    lines = slower(releases[-2][1], releases[-1][1])
    print("\n".join(lines) or f"nothing got slower from {releases[-2][0]} to {releases[-1][0]}")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
