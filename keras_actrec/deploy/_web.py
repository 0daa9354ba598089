"""The requests of the page: each takes a clip in, and answers with HTML, or with a line that says why not."""

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from keras_actrec._files import is_disk_full
from keras_actrec._text import printable
from keras_actrec.data import VIDEO_SUFFIXES, VideoError, iter_frames
from keras_actrec.deploy._corrections import Corrections
from keras_actrec.errors import UserError
from keras_actrec.insight.explain import explain
from keras_actrec.insight.report import need_viz, told_of

if TYPE_CHECKING:
    from keras_actrec.deploy.web import WebLimits
    from keras_actrec.insight.explain import Explanation
    from keras_actrec.recognizer import Recognizer

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

_LETTERS = 100  # of a clip's name in what is told
# Nothing is loaded from elsewhere or sent there, no script but the page's own runs, no other page frames it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src data:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_GONE = 400, "the connection ended"


class Page:
    """The page and what it answers, see `web_page`.

    Args:
        recognizers: models of videos by name.
        corrections: where labels go.
        limits: of clips.
        local: whether requests must name this machine as such.
    """

    def __init__(
        self,
        recognizers: "Mapping[str, Recognizer]",
        corrections: Corrections,
        limits: "WebLimits",
        local: bool,
    ) -> None:
        self._recognizers, self._names = list(recognizers.values()), [*map(printable, recognizers)]
        self._corrections, self._limits, self._local = corrections, limits, local
        self._places = asyncio.Semaphore(limits.waiting)
        self._turn, self._network = asyncio.Lock(), ThreadPoolExecutor(1)  # one clip after the other
        self._answer = need_viz("deploy/answer.html.j2")
        self._page = need_viz("deploy/web.html.j2").render(
            names=self._names,
            limits=limits,
            suffixes=VIDEO_SUFFIXES,
        )
        self._script = files(__package__).joinpath("web.js").read_text("utf-8")

    def application(self) -> Starlette:
        """The page's addresses."""
        found: list[tuple[str, Handler, str]] = [
            ("/", self.page, "GET"),
            ("/page.js", self.script, "GET"),
            ("/answer", self.answer, "POST"),
            ("/correct", self.correct, "POST"),
        ]
        return Starlette(
            routes=[Route(path, self._guarded(handler), methods=[verb]) for path, handler, verb in found],
            exception_handlers={HTTPException: _refused, Exception: _broken},
        )

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return HTMLResponse(self._page)

    async def script(self, request: Request) -> Response:
        """Its script."""
        return Response(self._script, media_type="text/javascript")

    async def answer(self, request: Request) -> Response:
        """What a model says of the clip that is sent, and why, as a part of the page."""
        recognizer = self._recognizer(request)
        async with self._clip(request, recognizer) as (path, name), self._turn:
            if await request.is_disconnected():  # nobody waits for it any more
                raise HTTPException(*_GONE)
            work = functools.partial(self._explained, recognizer, path, name)
            return HTMLResponse(await asyncio.get_running_loop().run_in_executor(self._network, work))

    async def correct(self, request: Request) -> Response:
        """Takes the right label of the clip that is sent."""
        recognizer = self._recognizer(request)
        names = recognizer.class_names
        number, keep = request.query_params.get("label", ""), request.query_params.get("keep") == "yes"
        if number not in map(str, range(len(names))):
            raise UserError("choose the class that it shows")
        label = names[int(number)]
        async with self._clip(request, recognizer) as (path, name):
            add = functools.partial(self._corrections.add, path, name, label, keep=keep)
            try:
                there = await asyncio.to_thread(add)
            except OSError as error:
                told = f"{self._corrections.path} or a copy beside it cannot be written: {error.strerror}"
                raise HTTPException(507, printable(told)) from error
        return PlainTextResponse(printable(f"{there} is {label} in {self._corrections.path}"))

    def _recognizer(self, request: Request) -> "Recognizer":
        number = request.query_params.get("model", "0")
        if number not in map(str, range(len(self._recognizers))):
            raise HTTPException(404, "there is no such model: load the page again")
        return self._recognizers[int(number)]

    def _explained(self, recognizer: "Recognizer", path: Path, name: str) -> str:
        """Runs the model and draws what it saw."""
        found = explain(recognizer, path)
        answer, note = _of_all_views(recognizer, path, found)
        return self._answer.render(
            clip=told_of(replace(answer, path=Path(name))),
            note=note,
            classes=recognizer.class_names,
            corrections=str(self._corrections.path),
        )

    @asynccontextmanager
    async def _clip(self, request: Request, recognizer: "Recognizer") -> AsyncIterator[tuple[Path, str]]:
        """A clip that is here, and what it is called; the file is gone afterwards.

        Raises:
            HTTPException: there are too many, or it is too large, too long or too late.
            UserError: it cannot be used.
        """
        name = re.split(r"[\\/]", request.query_params.get("name", ""))[-1]
        shown = printable(name if len(name) <= _LETTERS else f"{name[:_LETTERS]}…{Path(name).suffix[:9]}")
        suffix = Path(name).suffix.lower()
        if suffix not in VIDEO_SUFFIXES:
            raise HTTPException(
                415, f"{shown or 'this'} is no name of a video: send an .mp4, .webm, .avi or so"
            )
        if self._places.locked():
            raise HTTPException(503, "too many clips are being answered: send it again in a moment")
        async with self._places:
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                path = Path(folder) / f"clip{suffix}"
                await self._receive(request, path)
                try:
                    await asyncio.to_thread(self._check, path, recognizer)
                    yield path, name
                except VideoError as error:
                    raise UserError(f"{shown}: {error.reason}".replace(str(path), shown)) from error

    async def _receive(self, request: Request, path: Path) -> None:
        """Writes what is sent, unless it is too much."""
        most = 1_000_000 * self._limits.megabytes
        larger = HTTPException(413, f"more than {self._limits.megabytes} MB: send a shorter clip")
        if int(request.headers.get("content-length", 0)) > most:  # the server lets digits alone through
            raise larger
        try:
            with open(path, "wb") as file:
                async with asyncio.timeout(self._limits.seconds):
                    async for chunk in request.stream():
                        if file.tell() + len(chunk) > most:
                            raise larger
                        file.write(chunk)
        except TimeoutError as error:
            raise HTTPException(408, f"not all of it came in {self._limits.seconds:g} s") from error
        except ClientDisconnect as error:
            raise HTTPException(*_GONE) from error

    def _check(self, path: Path, recognizer: "Recognizer") -> None:
        """Refuses a clip of many frames, or large ones, before all of it is decoded."""
        limits = self._limits
        frames = iter_frames(path, limits.frames)  # its first frame, then the one behind the last that may be
        first = next(frames)
        steps = recognizer.preprocessor.steps or limits.frames
        if first.size > 3 * limits.pixels or first.nbytes * steps > limits.memory:
            raise HTTPException(
                413, f"frames of {first.shape[1]} x {first.shape[0]} pixels: send smaller ones"
            )
        if next(frames, None) is not None:
            raise HTTPException(413, f"more than {limits.frames} frames: send a shorter clip")

    def _guarded(self, handler: Handler) -> Handler:
        """A handler that answers this page alone, and tells what somebody can mend as a line."""

        @functools.wraps(handler)
        async def guarded(request: Request) -> Response:
            self._check_sender(request)
            try:
                response = await handler(request)
            except asyncio.CancelledError as error:
                raise HTTPException(503, "keras-actrec web was ended") from error
            except (UserError, OSError) as error:
                if is_disk_full(error):
                    raise HTTPException(
                        507, "the server's disk is full: make room, and send it again"
                    ) from error
                if isinstance(error, UserError):
                    raise HTTPException(400, str(error)) from error
                raise HTTPException(507, f"{error.strerror or 'a file fails'} on the server") from error
            response.headers.update(_HEADERS)
            return response

        return guarded

    def _check_sender(self, request: Request) -> None:
        """Refuses what another page sends, or what came under a name that is not this machine's.

        Browsers send `Origin` with every POST; a page from elsewhere whose own name leads to this machine is
        told by `Host`.
        """
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if self._local and not _is_this_machine(host):
            raise HTTPException(403, "open the page as http://127.0.0.1")
        if origin is not None and origin.partition("://")[2] != host:
            raise HTTPException(403, "this was sent by another page")


class Server(uvicorn.Server):
    """A server that tells what it waits for when it is to end.

    Args:
        config: what is served, and how.
        tell: called with a line.
    """

    def __init__(self, config: uvicorn.Config, tell: Callable[[str], Any]) -> None:
        super().__init__(config)
        self._tell = tell

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Wait for the clips that are here."""
        if self.server_state.tasks:
            self._tell("Ends when the clips that are here are answered; Ctrl-C again drops them.")
        await super().shutdown(sockets)


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _of_all_views(recognizer: "Recognizer", path: Path, found: "Explanation") -> "tuple[Explanation, str]":
    """An explanation with the answer that `predict` gives, and what is to be said where it sees more."""
    if found.views == 1:
        return found, ""
    scores = dict(recognizer.predict_video(path))
    answer = replace(found, scores=np.array([scores[name] for name in found.class_names]), views=1)
    views = f"{found.views} views" if found.views else "several views"
    note = f"The scores are the mean over {views} of the clip; what is below is of one of them"
    if answer.label != found.label:
        note += f", which alone is {found.label}"
    return answer, f"{note}."


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**_HEADERS, **(error.headers or {})}
    return PlainTextResponse(error.detail, error.status_code, headers=headers)


async def _broken(request: Request, error: Exception) -> Response:
    text = "something went wrong here: the terminal in which keras-actrec web runs says what"
    return PlainTextResponse(text, 500, headers=_HEADERS)
