"""Images as the product uses them: checked, decoded in a limited process, written anew.

Nothing of an uploaded file survives but its pixels: no metadata, no appended archive, no script.
The image of the token and all renditions are opaque square WebP.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from minting.errors import (
    ImageBrokenError,
    ImageFileTooLargeError,
    ImageFramesError,
    ImageInvalidError,
    ImageKindError,
    ImageNotSquareError,
    ImagePixelsError,
    ImageTooSlowError,
    ImageTooSmallError,
    ImageTransparentError,
)

MEDIA_TYPE = "image/webp"
MAX_BYTES = 32_000_000
MAX_PIXELS = 25_000_000
MAX_FRAMES = 100
LEAST_SIDE = 400
TOLERANCE_PERCENT = 1
LARGEST_SIDE = 3000
SIDES = (160, 320, 640, 1280)

_WORKER = Path(__file__).with_name("media_worker.py")
_QUALITY = 82
_ORIGINAL_QUALITY = 92
_MEMORY_BYTES = 1024 * 1024 * 1024
_CPU_SECONDS = 15
_OUTPUT_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Rendition:
    """One encoded image; sides in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True)
class Media:
    """An image ready for use.

    `original` has the size of the upload, at most `LARGEST_SIDE`, and is what a token's metadata
    names; `renditions` are smaller, smallest first, for screens.
    """

    original: Rendition
    renditions: tuple[Rendition, ...]


def render_image(data: bytes, *, timeout_seconds: int = 30) -> Media:
    """The image of the file, written anew in every size it has pixels for; never scaled up.

    Of an animation the first frame is used. An image that is square within one per cent loses
    the surplus at the edges. Orientation and colour profile are applied, then dropped.

    Args:
        timeout_seconds: of wall time; processor time and memory have their own limits.

    Raises:
        ImageFileTooLargeError: more than `MAX_BYTES`.
        ImageKindError: no PNG, JPEG, WebP or GIF.
        ImageBrokenError: truncated or damaged.
        ImagePixelsError: more than `MAX_PIXELS`, by its header.
        ImageNotSquareError: sides differ by more than `TOLERANCE_PERCENT`.
        ImageTooSmallError: a side below `LEAST_SIDE`.
        ImageTransparentError: a pixel is not opaque.
        ImageFramesError: more than `MAX_FRAMES`.
        ImageTooSlowError: it used up its time or memory.
    """
    if len(data) > MAX_BYTES:
        raise ImageFileTooLargeError(size=len(data), limit=MAX_BYTES)
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
        source.write(data)
        source.seek(0)
        _run_worker(source, output, timeout_seconds)
        output.seek(0)
        return _media(output)


def _run_worker(source: IO[bytes], output: IO[bytes], timeout_seconds: int) -> None:
    """One child for one image: no inherited environment, no shared memory, its own limits.

    Output goes to a file, because the kernel bounds the size of files and not of pipes.
    """
    command = [sys.executable, "-I", str(_WORKER), json.dumps(_task())]
    try:
        done = subprocess.run(
            command,
            stdin=source,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ImageTooSlowError from None
    if done.returncode != 0:
        # Stopped by a limit, or a decoder crashed: the process is gone and the file unusable.
        raise ImageTooSlowError


def _task() -> dict[str, Any]:
    return {
        "pixels": MAX_PIXELS,
        "frames": MAX_FRAMES,
        "least_side": LEAST_SIDE,
        "tolerance_percent": TOLERANCE_PERCENT,
        "largest_side": LARGEST_SIDE,
        "sides": SIDES,
        "quality": _QUALITY,
        "original_quality": _ORIGINAL_QUALITY,
        "memory_bytes": _MEMORY_BYTES,
        "cpu_seconds": _CPU_SECONDS,
        "output_bytes": _OUTPUT_BYTES,
    }


def _media(output: IO[bytes]) -> Media:
    answer: dict[str, Any] = json.loads(output.readline())
    if "refused" in answer:
        raise _refusal(answer)
    original, *renditions = [
        Rendition(output.read(part["size"]), MEDIA_TYPE, part["width"], part["height"])
        for part in answer["parts"]
    ]
    return Media(original, tuple(renditions))


def _refusal(answer: dict[str, Any]) -> ImageInvalidError:
    size = {name: answer[name] for name in ("width", "height") if name in answer}
    match answer["refused"]:
        case "kind":
            return ImageKindError()
        case "broken":
            return ImageBrokenError()
        case "pixels":
            return ImagePixelsError(**size, limit=MAX_PIXELS)
        case "not_square":
            return ImageNotSquareError(**size)
        case "too_small":
            return ImageTooSmallError(**size, least=LEAST_SIDE)
        case "transparent":
            return ImageTransparentError()
        case "frames":
            return ImageFramesError(limit=MAX_FRAMES)
    return ImageTooSlowError()
