"""Where a stream's readings go: lines for people, JSON lines, CSV; the annotated video is in `edge.streams.videos`.

Lines are written whole and flushed one by one, so that a file is sound up to its last line however the run ends.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from edge.errors import OutputError
from edge.sources.frames import Closing
from edge.streams.stream import StreamReading

_JSON_BEGINS = b'{"type":'  # each of our lines
_CSV_BEGINS = b"index,captured_s,"  # our heading
_SHARE = re.compile(r"\d\.\d{6}")  # the last field of each of our rows


class Output(Protocol):
    """Something that takes readings."""

    def write(self, reading: StreamReading) -> None:
        """Take the next reading; raises OutputError."""

    def close(self) -> None:
        """Finish; more than once is allowed."""


class LineFile(Closing):
    """A text file whose lines are each written at once, whole; a part of one is taken back."""

    def __init__(
        self, path: str | os.PathLike[str], append: bool = False, is_torn: Callable[[bytes], bool] | None = None
    ) -> None:
        """Open the file.

        Args:
            path: an ordinary file is made or replaced; a device or pipe is written to.
            append: keep what an ordinary file holds; a last line without a newline gets one.
            is_torn: whether such a line is one that an earlier run did not finish: it is dropped. None: none is.

        Raises:
            OutputError: the file cannot be opened.
        """
        self.path = path
        self.empty = True
        self._descriptor = -1
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # O_APPEND: each line goes to the end as it is then, also of a file that was cut meanwhile (copytruncate).
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND | (0 if append else os.O_TRUNC)
            self._descriptor = os.open(path, flags, 0o666)
            self._ordinary = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            end = 0
            if append and self._ordinary:
                end, tail = _whole_lines(path)
                if tail and is_torn is not None and is_torn(tail):
                    os.ftruncate(self._descriptor, end)
                elif tail:
                    self._write(b"\n")
                    end += len(tail) + 1
        except OSError as error:
            self.close()
            raise _refused(path, error) from error
        self.empty = end == 0

    def write_line(self, line: str) -> None:
        """Write a line (without its newline).

        Raises:
            OutputError: it cannot be written; an ordinary file then ends with the line before.
        """
        content = line.encode("utf-8") + b"\n"
        end = -1
        try:
            end = os.fstat(self._descriptor).st_size  # of this moment: the file may have been cut since the last line
            self._write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._ordinary and end >= 0:
                with contextlib.suppress(OSError):  # the first error is the one to tell
                    os.ftruncate(self._descriptor, end)
            raise _refused(self.path, error) from error
        self.empty = False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class JsonLines(Closing):
    """One JSON object a line: first what was run ("type": "meta"), then a frame each ("type": "frame")."""

    def __init__(
        self, write_line: Callable[[str], None], meta: Mapping[str, Any], file: LineFile | None = None
    ) -> None:
        """Write the first line.

        Args:
            write_line: takes a line.
            meta: JSON values: source, model, settings.
            file: closed with this output.
        """
        self._write_line, self._file = write_line, file
        write_line(_json({"type": "meta", **meta}))

    @classmethod
    def to_file(cls, path: str | os.PathLike[str], meta: Mapping[str, Any], append: bool = False) -> Self:
        """Return an output that writes to a file.

        Raises:
            OutputError: the file cannot be opened or written.
        """
        file = LineFile(path, append, _is_torn_object)
        try:
            return cls(file.write_line, meta, file)
        except OutputError:
            file.close()
            raise

    def write(self, reading: StreamReading) -> None:
        """Write a frame's line."""
        self._write_line(_json(reading.to_dict()))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class CsvFile(Closing):
    """One row a face and frame, under a heading.

    `time_utc` is a live frame's `captured_s` by the clock on the wall, which dates the rows of several runs (index and
    track begin anew in each); empty for a file's frames, whose `captured_s` is the time within it.
    """

    COLUMNS = (
        "index", "captured_s", "time_utc", "track", "left", "top", "right", "bottom", "detection_score", "emotion",
        "detected", "age_s",
    )  # fmt: skip

    def __init__(
        self, path: str | os.PathLike[str], labels: Sequence[str], append: bool = False, live: bool = False
    ) -> None:
        """Open the file and write the heading unless it has one.

        Args:
            path: the file.
            labels: of the model; a column each for the smoothed probability.
            append: go on in an existing file.
            live: `captured_s` of the frames is `time.monotonic()`.

        Raises:
            OutputError: the file cannot be opened or written, or has other columns of ours.
        """
        self._labels, self._live = tuple(labels), live
        heading = _row((*self.COLUMNS, *self._labels))
        if append:
            _check_heading(path, heading)
        self._file = LineFile(path, append, lambda tail: _is_torn_row(path, heading, tail))
        if self._file.empty:
            self._file.write_line(heading)

    def write(self, reading: StreamReading) -> None:
        """Write a row for each face."""
        frame = reading.frame
        time_utc = _utc(frame.captured_s) if self._live else ""
        for face in reading.faces:
            row = _row(
                (
                    frame.index,
                    f"{frame.captured_s:.4f}",
                    time_utc,
                    face.track,
                    *face.box,
                    f"{face.detection_score:.4f}",
                    face.emotion,
                    int(face.detected),
                    f"{face.age_s:.3f}",
                    *(f"{face.probabilities[label]:.6f}" for label in self._labels),
                )
            )
            self._file.write_line(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class EventLines(Closing):
    """A line for people for each event: time, face, what happened."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        """Take what writes a line."""
        self._write_line = write_line
        self._begun_s: float | None = None

    def write(self, reading: StreamReading) -> None:
        """Write the frame's events."""
        self._begun_s = reading.frame.captured_s if self._begun_s is None else self._begun_s
        for event in reading.events:
            shares = next((face.probabilities for face in reading.faces if face.track == event.track), None)
            top = "" if shares is None or event.kind == "left" else f" ({max(shares.values()):.0%})"
            what = f"{event.kind}, last {event.emotion}" if event.kind == "left" else f"{event.kind}: {event.emotion}"
            self._write_line(f"{event.at_s - self._begun_s:9.2f} s  face {event.track} {what}{top}")


def _whole_lines(path: str | os.PathLike[str]) -> tuple[int, bytes]:
    """Return how many bytes of a file its whole lines take, and what comes after them."""
    size = os.stat(path).st_size
    with open(path, "rb") as stream:
        start = size
        while start > 0:
            begin = max(0, start - (1 << 16))
            stream.seek(begin)
            found = stream.read(start - begin).rfind(b"\n")
            if found >= 0:
                start = begin + found + 1
                break
            start = begin
        stream.seek(start)
        return start, stream.read()


def _is_torn_object(tail: bytes) -> bool:
    """Return whether a last line without a newline is a part of a JSON line of ours."""
    if not (tail.startswith(_JSON_BEGINS) or _JSON_BEGINS.startswith(tail)):
        return False
    try:
        json.loads(tail)
    except ValueError:  # cut within a sign too
        return True
    return False


def _check_heading(path: str | os.PathLike[str], heading: str) -> None:
    """Raise OutputError where a file begins with a heading of ours, of other labels or an earlier version."""
    if not os.path.isfile(path):
        return
    with open(path, "rb") as stream:
        first = stream.readline(1 << 16)
    if first.endswith(b"\n") and first.startswith(_CSV_BEGINS) and first != f"{heading}\n".encode():
        raise OutputError(
            f"expected {path} to have the columns of this model's rows; got another heading of ours; name another file"
        )


def _is_torn_row(path: str | os.PathLike[str], heading: str, tail: bytes) -> bool:
    """Return whether the last line, without a newline, of a CSV file is a part of our heading or of a row below it."""
    with open(path, "rb") as stream:
        first = stream.readline()
    if first == tail:
        return tail != heading.encode() and heading.encode().startswith(tail)
    if first != f"{heading}\n".encode():
        return False
    columns = next(csv.reader([heading]))
    try:
        fields = next(csv.reader([tail.decode("utf-8", "replace")]))
    except csv.Error:  # no row of anybody's
        return False
    ours = bool(fields) and fields[0].isdecimal()  # each row of ours begins with the frame's index
    return ours and (len(fields) < len(columns) or not _SHARE.fullmatch(fields[-1]))


def _utc(monotonic_s: float) -> str:
    """Return a `time.monotonic()` as ISO 8601 in UTC, to the millisecond; the clock may have been set since."""
    at_s = time.time() - (time.monotonic() - monotonic_s)
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def _row(values: Sequence[object]) -> str:
    """Return a row of CSV without its newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def _refused(path: str | os.PathLike[str], error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"expected to write {path}; got: {reason}; make room or choose another name")
