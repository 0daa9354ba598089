"""`keras-actrec web`: a page on which clips are dropped, answered, explained and given the right label."""

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_actrec._numbers import MOST, MOST_PIXELS, whole
from keras_actrec._types import PathLike, silent
from keras_actrec.deploy._corrections import Corrections
from keras_actrec.errors import UserError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from keras_actrec.recognizer import Recognizer

_CONNECTIONS = 64
_MOST = {"megabytes": 2000, "frames": MOST, "pixels": MOST_PIXELS**2, "memory": 10**12, "waiting": 1000}
_MOST_SECONDS = 3600


@dataclass(frozen=True)
class WebLimits:
    """What a page takes.

    Attributes:
        megabytes: of a clip.
        frames: of a clip.
        pixels: of a frame.
        memory: bytes of the frames that a model sees of a clip.
        waiting: clips that are here at a time; further ones are refused.
        seconds: for a clip to arrive.

    Raises:
        UserError: for one out of range.
    """

    megabytes: int = 64
    frames: int = 3000
    pixels: int = 4096 * 2304
    memory: int = 1_000_000_000
    waiting: int = 8
    seconds: float = 60

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            whole(name, getattr(self, name), high=most)
        if not 0 < self.seconds <= _MOST_SECONDS:
            raise UserError(
                f"`seconds` must be above 0 and at most {_MOST_SECONDS}. Received: seconds={self.seconds}"
            )


def web_page(
    recognizers: "Mapping[str, Recognizer]",
    corrections: PathLike,
    *,
    limits: WebLimits | None = None,
    host: str = "127.0.0.1",
) -> "Starlette":
    """The page as an application for any ASGI server (extra `web`).

    On it somebody drops a clip, or takes one with the camera, chooses a model, and sees what `explain` shows:
    the five best classes, the frames with what the model looked at, and the time line. The right label goes
    into a CSV file that `train --data` takes. A clip that arrives is gone when it is answered, unless a copy
    is asked for. What is wrong with one is told in a line. The page loads nothing from elsewhere.

    Args:
        recognizers: models of videos, by what they are called on the page.
        corrections: the CSV file `path,label`; clips that are kept lie beside it.
        limits: of clips and of how many wait.
        host: the address that it will listen at; at one of this machine alone, a request must name it so that
            no page from elsewhere gets here under a name of its own.

    Raises:
        UserError: for a model of something else than videos or with nothing to explain, a CSV file with other
            columns, or where the extra is missing.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError("The page needs the extra `web`: pip install 'keras_actrec[web]'") from error
    from keras_actrec.deploy._web import Page
    from keras_actrec.insight.explain import view_of

    for name, recognizer in recognizers.items():
        files = recognizer.preprocessor.files
        if files != "videos":
            raise UserError(
                f"{name} sees {files}, and the page takes videos: keras-actrec explain shows what it saw"
            )
        view_of(recognizer)
    return Page(
        recognizers, Corrections(corrections), limits or WebLimits(), _is_loopback(host)
    ).application()


def serve_page(
    application: "Starlette",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    tell: Callable[[str], Any] = silent,
) -> None:
    """Serve a page until Ctrl-C; clips that are here by then are answered, unless it is pressed again.

    Args:
        application: of `web_page`.
        host: the address to listen at; by default nobody else on the network gets there.
        port: its port; 0 is any that is free.
        tell: called with the page's address, where others reach it with a warning, and with what it waits for
            at its end.

    Raises:
        UserError: for an address that is taken, or none of this machine.
    """
    import uvicorn

    from keras_actrec.deploy._web import Server

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{host}, port {port}: nothing can listen there ({reason}); choose another --port or --host"
        ) from error
    with listening:
        shown = f"[{host}]" if ":" in host else host
        if not _is_loopback(host):
            tell(
                "warning: whoever reaches this machine over the network can use the page, without a password"
            )
        tell(f"http://{shown}:{listening.getsockname()[1]}  (Ctrl-C ends it)")
        config = uvicorn.Config(
            application,
            lifespan="off",
            log_level="warning",
            limit_concurrency=_CONNECTIONS,
            server_header=False,
        )
        server = Server(config, tell)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            tell("Ended.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
