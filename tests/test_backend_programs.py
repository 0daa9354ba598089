"""Compiled programs that commands keep in the user's cache for the next process, on JAX."""

import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import hostile
from keras_actrec import _backend
from keras_actrec.data import ClipPreprocessor, ClipTransform, Sampling
from keras_actrec.recognizer import Recognizer

jax = pytest.importorskip("jax") if keras.backend.backend() == "jax" else None
on_jax = pytest.mark.skipif(jax is None, reason="the other backends compile nothing that can be kept")
NAMES = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The user's folder of caches; JAX is as it is in a fresh process, and afterwards as it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path / "caches"
    for name, value in before.items():
        jax.config.update(name, value)


def kept():
    """The folder that JAX uses after a command has asked to keep programs; None if none."""
    _backend.keep_programs()
    return jax.config.jax_compilation_cache_dir


@on_jax
def test_programs_are_kept_in_a_folder_of_the_user_up_to_a_bound(caches):
    folder = Path(kept())
    assert folder.parent == caches / "keras_actrec" and folder.stat().st_mode & 0o777 == 0o700
    assert jax.config.jax_compilation_cache_max_size == 2**28


@on_jax
def test_another_processor_has_another_folder(caches, monkeypatch):
    first = kept()
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(platform, "machine", lambda: "another")
    assert kept() != first


@on_jax
def test_other_instructions_have_another_folder(caches, monkeypatch):
    first = kept()
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(Path, "read_text", lambda path: "flags : avx512f\n")
    assert kept() != first or not Path("/proc/cpuinfo").exists()


@on_jax
def test_settings_of_jax_are_obeyed(caches):
    jax.config.update("jax_compilation_cache_dir", "theirs")
    assert kept() == "theirs" and jax.config.jax_compilation_cache_max_size != 2**28
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    assert kept() is None and not caches.exists()


@on_jax
def test_no_folder_no_room_and_no_lock_are_no_errors(caches, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        assert kept() is None
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**29))
        assert kept() is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert kept() is None
    (caches / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches / "file"))
    assert kept() is None


@on_jax
@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
def test_a_folder_that_others_can_write_is_not_trusted(caches):
    folder = Path(kept())
    jax.config.update("jax_compilation_cache_dir", None)
    folder.chmod(0o770)
    assert kept() is None


@on_jax
def test_a_program_that_was_not_written_to_its_end_is_removed(caches):
    folder = Path(kept())
    jax.config.update("jax_compilation_cache_dir", None)
    for name in ("half-cache", "whole-cache", "whole-atime", "now-cache"):
        (folder / name).write_bytes(b"12345678")
    hour = time.time() - 3600
    for name in ("half-cache", "whole-cache"):
        os.utime(folder / name, (hour, hour))
    assert kept() == str(folder)
    assert {path.name for path in folder.iterdir()} == {"whole-cache", "whole-atime", "now-cache"}


def test_the_second_command_compiles_nothing_and_answers_the_same(run_python, tmp_path):
    clip = keras.Input((None, 32, 32, 3), name="clip")
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(clip))
    x = keras.layers.Dense(3, activation="softmax")(x)
    looks = ClipPreprocessor(Sampling(4), ClipTransform(32, crop="none"))
    Recognizer(keras.Model(clip, x), ("a", "b", "c"), looks).save(tmp_path / "model.keras")
    hostile.write(tmp_path / "clip.mp4", list(np.full((6, 32, 32, 3), 90, "uint8")))
    caches = tmp_path / "caches"
    command = ("-m", "keras_actrec", "predict", "model.keras", "clip.mp4")
    runs, kept = [], []
    for _ in range(2):
        runs.append(run_python(*command, XDG_CACHE_HOME=caches, JAX_ENABLE_COMPILATION_CACHE=None))
        assert runs[-1].returncode == 0, runs[-1].stderr
        kept.append({path.name: path.read_bytes() for path in caches.glob("keras_actrec/*/jit_*")})
    assert runs[0].stdout == runs[1].stdout and runs[0].stdout.startswith("clip.mp4")
    assert "warning" not in runs[0].stderr + runs[1].stderr
    if jax is None:
        assert kept == [{}, {}]
        return
    assert any(name.startswith("jit_call-") and name.endswith("-cache") for name in kept[0])
    assert kept[0].keys() == kept[1].keys()
    assert all((kept[0][name] != kept[1][name]) == name.endswith("-atime") for name in kept[0])
