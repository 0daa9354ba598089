"""What JAX compiles, kept for the next process."""

import hashlib
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path

import jax

_MOST_KEPT = 1 << 28  # bytes of compiled programs; one is a few hundred thousand
_WRITTEN = 60  # seconds after which nobody is writing a program any more


def keep_programs() -> None:
    """Keep what is compiled in the user's folder of caches, for the next process on such a machine.

    A program holds instructions of its processor: another kind, with the same home, has another folder. JAX
    knows a program again by its code, its own version and its options, and removes those that were longest
    not used. Nothing is kept where JAX's settings say where it is, or that it is not
    (`JAX_COMPILATION_CACHE_DIR`, `JAX_ENABLE_COMPILATION_CACHE=0`), where the folder cannot be written or can
    be by others, whose code would be run, where the disk is nearly full, or without the package `filelock`,
    which JAX needs to keep a bound.
    """
    config = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    folder = _folder_of_programs()
    if folder is None or importlib.util.find_spec("filelock") is None:
        return
    _remove_halves(folder)
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_compilation_cache_max_size", _MOST_KEPT)
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _folder_of_programs() -> Path | None:
    """The folder, made if missing; None where it is of no use."""
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = caches / "keras_actrec" / f"jax-{_processor()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
        ours = os.name != "posix" or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
        room = shutil.disk_usage(folder).free > 2 * _MOST_KEPT
    except (OSError, RuntimeError):  # no home, or one that is not for writing: no more than slower
        return None
    return folder if ours and room and os.access(folder, os.W_OK) else None


def _processor() -> str:
    """The kind of processor and its instructions, as some digits."""
    facts, cpuinfo = [platform.machine()], Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("flags", "Features", "model name", "CPU implementer", "CPU part")
        facts += sorted({line for line in cpuinfo.read_text().splitlines() if line.startswith(names)})
    else:
        facts += [platform.processor(), platform.node()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _remove_halves(folder: Path) -> None:
    """Removes programs that a killed process was writing: JAX dates them afterwards, and never again."""
    for program in folder.glob("*-cache"):
        dated = program.with_name(program.name.removesuffix("-cache") + "-atime")
        if not dated.exists() and time.time() - program.stat().st_mtime > _WRITTEN:
            program.unlink(missing_ok=True)
