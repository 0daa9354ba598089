"""Which backend Keras gets. Packages are hidden by setting them to None in `sys.modules`."""

import gc
import importlib.util
import os
import sys

import keras
import pytest

from keras_actrec._backend_choice import (
    BACKENDS,
    choose_backend,
    ensure_backend,
    installed_backends,
    lean_keras,
)
from keras_actrec.errors import UserError

NONE_INSTALLED = "No backend is installed: pip install 'keras_actrec[jax]' (or [torch], [tensorflow])"


@pytest.fixture
def before_keras(monkeypatch, tmp_path):
    """As in a fresh process without Keras, KERAS_BACKEND and keras.json; only `installed` are there."""

    def prepare(installed, requested=None, configured=None):
        monkeypatch.delitem(sys.modules, "keras")
        for name in BACKENDS:
            if name in installed:
                folder = tmp_path / "site" / name
                folder.mkdir(parents=True)
                (folder / "__init__.py").touch()
                monkeypatch.delitem(sys.modules, name, raising=False)
            else:
                monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if requested is not None:
            monkeypatch.setenv("KERAS_BACKEND", requested)
        if configured is not None:
            (tmp_path / "keras.json").write_text(configured, encoding="utf-8")

    return prepare


@pytest.mark.parametrize("installed", [("tensorflow", "jax", "torch"), ("jax", "torch"), ("torch",)])
def test_the_first_installed_backend_is_chosen(before_keras, installed):
    before_keras(installed)
    assert installed_backends() == list(installed)
    ensure_backend()
    assert os.environ["KERAS_BACKEND"] == installed[0]


def test_the_variable_is_obeyed(before_keras):
    before_keras(("tensorflow", "jax"), requested="jax")
    ensure_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_an_empty_variable_counts_as_unset(before_keras):
    before_keras(("torch",), requested="")
    ensure_backend()
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_an_installed_backend_in_keras_json_is_left_to_keras(before_keras):
    before_keras(("tensorflow", "torch"), configured='{"backend": "torch"}')
    ensure_backend()
    assert "KERAS_BACKEND" not in os.environ


@pytest.mark.parametrize("configured", ['{"backend": "tensorflow"}', '{"backend": "numpy"}', "{}", "{broken"])
def test_a_keras_json_that_names_no_installed_backend_is_overruled(before_keras, configured):
    before_keras(("jax",), configured=configured)
    ensure_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_a_bare_folder_named_like_a_backend_is_not_a_backend(before_keras, tmp_path, monkeypatch):
    before_keras(())
    monkeypatch.delitem(sys.modules, "torch")
    (tmp_path / "site" / "torch").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    assert installed_backends() == []


def test_nothing_happens_once_keras_is_imported(before_keras, monkeypatch):
    before_keras((), requested="jax")
    monkeypatch.setitem(sys.modules, "keras", keras)
    ensure_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_a_requested_backend_that_is_missing_is_named_with_its_fix(before_keras):
    before_keras(("torch",), requested="jax")
    with pytest.raises(UserError) as caught:
        ensure_backend()
    assert str(caught.value) == "KERAS_BACKEND=jax but jax is not installed: pip install 'keras_actrec[jax]'"


def test_a_backend_we_do_not_run_on_is_named(before_keras):
    before_keras(("jax",), requested="numpy")
    with pytest.raises(
        UserError, match="^KERAS_BACKEND=numpy is not supported: set it to jax, torch or tensorflow$"
    ):
        ensure_backend()


def test_no_backend_at_all_says_what_to_install(before_keras):
    before_keras(())
    with pytest.raises(UserError) as caught:
        ensure_backend()
    assert str(caught.value) == NONE_INSTALLED


def test_importing_the_package_runs_on_the_only_installed_backend(run_python, hide, tmp_path):
    active = keras.backend.backend()
    done = run_python(
        "-c",
        "import keras_actrec, keras; print(keras.backend.backend())",
        KERAS_BACKEND=None,
        KERAS_HOME=tmp_path / "home",
        PYTHONPATH=hide(*set(BACKENDS) - {active}),
    )
    assert done.stdout.strip() == active, done.stderr


def test_importing_the_package_without_a_backend_ends_with_the_fix(run_python, hide):
    done = run_python("-c", "import keras_actrec", KERAS_BACKEND=None, PYTHONPATH=hide(*BACKENDS))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"keras_actrec.errors.UserError: {NONE_INSTALLED}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_for_commands_is_imported_without_what_they_do_not_need(before_keras, monkeypatch, backend):
    before_keras(BACKENDS, requested=backend)
    packages = ("matplotlib", "pandas", "scipy", "sklearn")
    for name in packages:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pandas", sys)  # imported already: left alone
    with lean_keras():
        needless = {"matplotlib", "sklearn", *BACKENDS} - {backend} | (
            {"scipy"} if backend != "jax" else set()
        )
        for name in needless:
            with pytest.raises(ImportError):
                importlib.import_module(name)
        assert importlib.util.find_spec(backend) and importlib.import_module("pandas") is sys
        assert importlib.util.find_spec("scipy") or backend != "jax"
        assert not gc.isenabled()
    assert gc.isenabled() and all(importlib.util.find_spec(name) for name in BACKENDS)
    assert {"matplotlib", "scipy", "sklearn"}.isdisjoint(sys.modules) and "pandas" in sys.modules


def test_nothing_is_hidden_where_keras_is_there(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    with lean_keras():
        assert "pandas" not in sys.modules and gc.isenabled()


@pytest.mark.parametrize("configured", [None, '{"backend": "jax"}'])
def test_hiding_the_other_backends_changes_no_choice(before_keras, configured):
    before_keras(("jax", "torch"), configured=configured)
    with lean_keras():
        ensure_backend()
        assert choose_backend() == "jax"
