"""Files that fell once, and some that never did: each parser ends in its own error, in time and memory."""

import random
from importlib.util import find_spec

import pytest

import hostile

pytest.importorskip("hypothesis", reason="needs the extra `dev`")
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import fuzz

FELL = sorted(path for path in fuzz.CORPUS.glob("*/*") if not path.name.startswith("."))
MADE = {"keras", "weights", "checkpoint"}  # what they read is put into models
FILES = 25
NEEDS = {"torch": "torch", "mat": "scipy", "parquet": "pyarrow"}


def marked(name, value):
    return pytest.param(value, marks=() if name in MADE else pytest.mark.no_backend)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Valid files of a parser, made when they are first asked for: path by name."""
    made = {}

    def of(name):
        if find_spec(NEEDS.get(name, "numpy")) is None:
            pytest.skip(f"needs {NEEDS[name]} to make the files")
        if name not in made:
            paths = fuzz.PARSERS[name].make(tmp_path_factory.mktemp(name))
            made[name] = {path: path.read_bytes() for path in paths}
        return made[name]

    return of


def fall(name, path, content, whole):
    path.write_bytes(content)
    try:
        with hostile.limits(seconds=60):  # `fuzz.fall` says it of 5 s
            return fuzz.fall(fuzz.PARSERS[name].read, path)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "fell",
    [marked(path.parent.name, path) for path in FELL],
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_what_fell_once_stands(fell, folders):
    name, valid = fell.parent.name, folders(fell.parent.name)
    (path,) = (path for path in valid if fell.name.endswith(f"-{path.name}"))
    assert fall(name, path, fell.read_bytes(), valid[path]) == ""


@pytest.mark.parametrize("name", [marked(name, name) for name in fuzz.PARSERS])
def test_every_parser_reads_its_files_and_stands_some_changed_ones(name, folders):
    valid = folders(name)
    for path in valid:
        fuzz.PARSERS[name].read(path)
    paths = st.sampled_from(sorted(valid))
    files = paths.flatmap(
        lambda path: st.tuples(
            st.just(path),
            fuzz.changed_file(valid[path], list(valid.values()), fuzz.PARSERS[name].tokens),
        )
    )

    @settings(
        max_examples=5 if name in MADE else FILES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(0)
    @given(files)
    def check(change):
        path, content = change
        assert fall(name, path, content, valid[path]) == ""

    state = random.getstate()
    check()
    random.setstate(state)
