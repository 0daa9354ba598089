"""Name what uploaded videos show, over HTTP: requests that wait are answered together.

pip install 'keras_actrec[serve]'
python serve.py runs/mine/model.keras 8000
curl --data-binary @clip.mp4 http://127.0.0.1:8000/predict/clip.mp4
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from keras_actrec import UserError, data, load

TOGETHER, WAITING, SECONDS = 16, 256, 30  # videos; for one to arrive, and at the end for those that are here
BYTES, FRAMES, PIXELS = 64_000_000, 3000, 4096 * 2304  # of a video
recognizer = load(sys.argv[1])
if recognizer.preprocessor.files != "videos":
    sys.exit(f"this model sees {recognizer.preprocessor.files}: serve one that sees videos")
answers, turn = {}, asyncio.Lock()  # of the videos that are here, None of those that wait
places, network = asyncio.Semaphore(WAITING), ThreadPoolExecutor(1)  # which no check of a video holds up


async def predict(request):
    """The labels of one video and their scores, or what is wrong with it."""
    suffix = Path(request.path_params["name"]).suffix.lower()
    if f"*{suffix}" not in recognizer.preprocessor.patterns:
        raise HTTPException(415, "this is no name of a video: POST /predict/clip.mp4")
    if places.locked():
        raise HTTPException(503, "too many videos are here: send it later", {"Retry-After": "1"})
    async with places:
        with NamedTemporaryFile(buffering=0, suffix=suffix) as file:
            try:
                async with asyncio.timeout(SECONDS):
                    async for chunk in request.stream():
                        if file.write(chunk) and file.tell() > BYTES:
                            raise HTTPException(413, f"more than {BYTES} bytes: send a shorter video")
                await asyncio.to_thread(check, file.name)
                found = await answer(file.name)
                if found.error:
                    raise UserError(found.error)
            except (UserError, TimeoutError, ClientDisconnect) as error:
                reason = str(error).replace(file.name, "the video") or f"not all of it came in {SECONDS} s"
                raise HTTPException(408 if isinstance(error, TimeoutError) else 400, reason) from error
    return JSONResponse({"labels": found.labels, "scores": found.scores})


def check(path):
    """Refuse a video of many frames, or large ones, before all of it is decoded."""
    frames = data.iter_frames(path, FRAMES)  # its first frame, then the one behind the last that may be
    if next(frames).size > 3 * PIXELS or next(frames, None) is not None:
        raise HTTPException(413, f"more than {FRAMES} frames, or {PIXELS} pixels: send a smaller video")


async def answer(path):
    """The prediction of a video. Whoever has the turn, the first that waits, makes those of others too."""
    answers[path] = None
    try:
        async with turn:
            if answers[path] is None:
                videos = [each for each, found in answers.items() if found is None][:TOGETHER]
                found = network.submit(list, recognizer.predict(videos))
                answers.update(zip(videos, await asyncio.wrap_future(found), strict=True))
        return answers[path]
    finally:
        answers.pop(path, None)


routes = [Route("/health", PlainTextResponse("ok\n")), Route("/predict/{name}", predict, methods=["POST"])]
limits = {"timeout_graceful_shutdown": SECONDS, "limit_concurrency": 2 * WAITING}
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), log_level="warning", **limits)
