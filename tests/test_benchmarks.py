"""What the benchmarks keep: ratios of releases, and what got slower."""

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_backend
FILE = Path(__file__).parents[1] / "benchmarks" / "ratios.py"


@pytest.fixture
def ratios():
    spec = importlib.util.spec_from_file_location("ratios", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(tmp_path, backend, **named):
    rows = [
        {"what": what, "ours": "ours", "peer": "plain torch", "ratio": ratio} for what, ratio in named.items()
    ]
    rows.append({"what": "growth", "exponent": 1.0})  # no ratio
    rows.append({"what": "gru", "ours": "ours, XLA", "peer": "plain torch", "ratio": 0.1})
    path = tmp_path / f"{backend}.json"
    path.write_text(json.dumps({"backend": backend, "machine": {"cores": 2}, "rows": rows}))
    return path


def test_what_got_slower_is_told_and_noise_is_not(ratios, tmp_path):
    kept = tmp_path / "kept.json"
    ratios.add("0.1", [found(tmp_path, "jax", gru=0.5, hman=0.8, gsm=1.0)], kept)
    ratios.add("0.2", [found(tmp_path, "jax", gru=0.54, hman=1.0, gsm=0.7, lite=3.0)], kept)
    ratios.add("0.2", [found(tmp_path, "torch", gru=9.0)], kept)
    releases = ratios.read(kept)
    assert list(releases) == ["0.1", "0.2"] and set(releases["0.2"]) == {"jax", "torch"}
    assert ratios.slower(releases["0.1"], releases["0.2"]) == ["slower: jax hman / plain torch: 0.80 -> 1.00"]
    assert releases["0.2"]["jax"]["ratios"]["gru, ours, XLA / plain torch"] == 0.1


def test_the_chart_is_drawn(ratios, tmp_path):
    kept = tmp_path / "kept.json"
    files = [found(tmp_path, name, gru=0.5, hman=0.8) for name in ("jax", "torch", "tensorflow")]
    ratios.add("0.2", files, kept)
    ratios.draw(ratios.read(kept)["0.2"], "0.2", tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
