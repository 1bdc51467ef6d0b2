"""Pictures to an H.264 film through the ffmpeg command. No ROS. Guarded by tests/unit/test_video.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray


class VideoError(RuntimeError):
    """The film cannot be written; the text says why and what to do."""


class VideoWriter:
    """Writes RGB pictures of one size, as a context manager; the film is whole once it is closed."""

    def __init__(self, path: Path, rate: float) -> None:
        """Write to ``path`` (.mp4) at ``rate`` pictures per second. Raises VideoError where ffmpeg is missing."""
        command = shutil.which("ffmpeg")
        if command is None:
            raise VideoError("expected the ffmpeg command to write a film; run: apt-get install ffmpeg")
        self.path = path
        self.pictures = 0
        self._command = command
        self._rate = rate
        self._process: subprocess.Popen[bytes] | None = None
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> VideoWriter:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture (height, width, 3) RGB with even edges, all of one size.

        Raises ValueError on any other, VideoError where ffmpeg has given up.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[0] % 2 or picture.shape[1] % 2:
            raise ValueError(f"expected an RGB picture with even edges, got shape {picture.shape}")
        if self._process is None:
            self._shape = picture.shape
            self._process = self._start(picture.shape[1], picture.shape[0])
        if picture.shape != self._shape:
            raise ValueError(f"expected pictures of shape {self._shape} like the first, got {picture.shape}")
        if self._process.stdin is None:
            raise VideoError("ffmpeg takes no pictures")
        try:
            self._process.stdin.write(np.ascontiguousarray(picture, dtype=np.uint8).tobytes())
        except BrokenPipeError as error:
            raise VideoError(f"ffmpeg gave up on {self.path}; is there space left on the disk?") from error
        self.pictures += 1

    def close(self) -> None:
        """Finish the film. Raises VideoError where ffmpeg failed."""
        process, self._process = self._process, None
        if process is None:
            return
        _, complaint = process.communicate()
        if process.returncode != 0:
            raise VideoError(f"ffmpeg failed on {self.path}: {complaint.decode(errors='replace').strip()}")

    def _start(self, width: int, height: int) -> subprocess.Popen[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._rate:g}", "-i", "-"]
        # yuv420p and the index in front: what browsers and players agree on.
        film = [
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            "20",
            "-pix_fmt",
            "yuv420p",
            "-movflags",
            "+faststart",
        ]
        return subprocess.Popen(
            [self._command, "-y", "-loglevel", "error", *source, *film, str(self.path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C on the terminal must not cut the film short.
            start_new_session=True,
        )
