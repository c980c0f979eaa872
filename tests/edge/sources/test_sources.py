from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge.errors import CameraError
from edge.sources import Frame, LiveSettings, LiveSource, Status
from edge.sources.live import MAX_STUCK
from tests.edge.scenes import SIZE, FakeFactory, number_of, numbered, steady

QUICK = LiveSettings(stall_s=10.0, corrupt_s=0.05, open_s=10.0, first_retry_s=0.02, longest_retry_s=0.08)


def take(source: LiveSource, count: int) -> list[Frame]:
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


def open_fake(factory: FakeFactory, settings: LiveSettings = QUICK) -> tuple[LiveSource, list[Status]]:
    heard: list[Status] = []
    return LiveSource("camera 9", factory, settings, heard.append), heard


def camera_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "fer-edge camera"}


def kinds(heard: list[Status]) -> list[str]:
    return [status.kind for status in heard]


def blocked(until: threading.Event, then: object = None) -> object:
    def step() -> object:
        until.wait(10)
        return then

    return step


def test_a_slow_reader_gets_the_newest_frame_and_is_told_how_many_it_missed() -> None:
    factory = FakeFactory(steady())
    source, heard = open_fake(factory)
    frames = []
    with source:
        for frame in source.frames():
            frames.append(frame)
            if len(frames) == 6:
                break
            enough = factory.devices[0].reads + 8
            while factory.devices[0].reads < enough:
                time.sleep(0.005)
    assert [number_of(frame) for frame in frames] == [frame.index for frame in frames]
    assert all(after.index - before.index == after.dropped + 1 for before, after in itertools.pairwise(frames))
    assert all(frame.dropped >= 5 for frame in frames[1:])
    assert all(after.captured_s > before.captured_s for before, after in itertools.pairwise(frames))
    assert heard == []


def test_a_reader_that_keeps_up_misses_nothing() -> None:
    taken = threading.Semaphore(0)

    def one_at_a_time() -> Iterator[object]:
        for number in range(100):
            yield numbered(number)
            taken.acquire(timeout=10)

    source, _ = open_fake(FakeFactory(one_at_a_time))
    frames = []
    with source:
        for frame in source.frames():
            frames.append(frame)
            if len(frames) == 8:
                source.stop()
            taken.release()
    assert [(frame.index, frame.dropped) for frame in frames] == [(number, 0) for number in range(8)]


def test_a_source_knows_the_size_and_rate_of_its_frames() -> None:
    source, _ = open_fake(FakeFactory(steady()))
    with source:
        assert (source.width, source.height, source.fps, source.live, source.total) == (*SIZE, 30.0, True, None)


def test_a_lost_camera_is_reported_once_retried_and_resumed() -> None:
    refusal = CameraError("camera 9: expected a camera; got none; plug it in")
    factory = FakeFactory(steady(0, 5), refusal, refusal, refusal, steady(100))
    source, heard = open_fake(factory)
    with source:
        frames = take(source, 12)
    assert kinds(heard) == ["lost", "resumed"]
    assert heard[0].text == "camera 9: the camera failed (it delivers no frame); it is tried again until it comes back"
    assert "frames again after" in heard[1].text and "4 attempts" in heard[1].text
    again = next(frame for frame in frames if number_of(frame) >= 100)
    assert again.index == number_of(again) - 100 + 5  # counting goes on where the first connection ended
    assert factory.devices[0].closed.wait(1)


def test_the_pauses_between_attempts_double_up_to_their_limit() -> None:
    refusal = CameraError("no")
    factory = FakeFactory(steady(0, 3), *[refusal] * 5, steady())
    source, _ = open_fake(factory)
    with source:
        take(source, 6)
    pauses = np.diff(factory.opened_s[1:])
    assert len(pauses) == 5
    for pause, least in zip(pauses, (0.04, 0.08, 0.08, 0.08, 0.08), strict=True):
        assert least <= pause < least + 1.0


def test_a_camera_that_fails_again_at_once_is_not_retried_at_full_speed() -> None:
    factory = FakeFactory(*[steady(0, 1, 0.0)] * 200)
    settings = dataclasses.replace(QUICK, seconds=1.5)
    source, _ = open_fake(factory, settings)
    with source:
        for _ in source.frames():
            pass
    assert 3 <= len(factory.opened_s) <= 25  # 0.02 + 0.04 + 0.08 + 0.08 ...; without back-off it would be 75


def test_a_stalled_camera_is_noticed_although_its_read_blocks() -> None:
    released = threading.Event()
    factory = FakeFactory(lambda: [numbered(0), numbered(1), blocked(released, numbered(77))], steady(100))
    source, heard = open_fake(factory, dataclasses.replace(QUICK, stall_s=0.5))
    with source:
        frames = take(source, 5)
        released.set()  # the old thread wakes up: its frame must not be handed out, and it closes its device
        assert factory.devices[0].closed.wait(1)
        frames += take(source, 5)
    assert kinds(heard) == ["stalled", "resumed"]
    assert "no frame for 0.5 s" in heard[0].text
    assert 77 not in [number_of(frame) for frame in frames]
    assert number_of(frames[-1]) >= 100


def test_a_camera_that_hangs_for_ever_does_not_pile_up_threads() -> None:
    released = threading.Event()

    def hangs() -> Iterator[object]:
        yield numbered(0)
        yield blocked(released)

    factory = FakeFactory(*[hangs] * 20)
    before = camera_threads()
    source, heard = open_fake(factory, dataclasses.replace(QUICK, stall_s=0.05, seconds=2.0))
    most = 0
    with source:
        for _ in source.frames():
            most = max(most, len(camera_threads() - before))
        assert most == len(factory.opened_s) == MAX_STUCK  # all hang; no new attempt is made
        released.set()
    assert "stalled" in kinds(heard)


def test_an_exception_of_the_driver_is_an_outage_with_its_text() -> None:
    factory = FakeFactory(lambda: [numbered(0), numbered(1), OSError("device\nis gone")], steady())
    source, heard = open_fake(factory)
    with source:
        take(source, 6)
    assert kinds(heard) == ["lost", "resumed"]
    assert "(device is gone)" in heard[0].text


BAD = {
    "grey": np.zeros((48, 64), np.uint8),
    "four channels": np.zeros((48, 64, 4), np.uint8),
    "empty": np.zeros((0, 0, 3), np.uint8),
    "floats": np.zeros((48, 64, 3), np.float32),
    "other size": np.zeros((50, 64, 3), np.uint8),
    "no array": "frame",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_frames_that_are_no_pictures_are_left_out_and_reported_when_they_go_on(bad: object) -> None:
    def some() -> Iterator[object]:
        for number in range(10):
            yield numbered(number)
            yield bad
            time.sleep(0.002)
        while True:
            time.sleep(0.002)
            yield bad

    source, heard = open_fake(FakeFactory(some, steady(100)))
    with source:
        frames = take(source, 12)
    assert all(frame.picture.shape == (48, 64, 3) and frame.picture.dtype == np.uint8 for frame in frames)
    assert kinds(heard) == ["corrupt", "resumed"]  # not for the ten single ones
    assert "instead of" in heard[0].text


def test_a_camera_that_never_opens_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CameraError, match="camera 9: expected a camera; got none; plug it in"):
        open_fake(FakeFactory(CameraError("camera 9: expected a camera; got none; plug it in")))
    with pytest.raises(CameraError, match="camera 9: expected a camera that delivers pictures; got: it delivers no"):
        open_fake(FakeFactory(lambda: [None]))
    hanging = threading.Event()
    with pytest.raises(CameraError, match=r"got: no frame within 0\.1 s; check it and its cable"):
        open_fake(FakeFactory(lambda: [blocked(hanging)]), dataclasses.replace(QUICK, open_s=0.1))
    hanging.set()


def test_closing_gives_the_device_back_and_ends_the_thread() -> None:
    factory = FakeFactory(steady())
    before = camera_threads()
    source, _ = open_fake(factory)
    assert len(camera_threads() - before) == 1
    source.close()
    source.close()
    assert factory.devices[0].closed.is_set() and not camera_threads() - before
    assert list(source.frames()) == []


def test_stop_ends_a_reader_that_waits_for_a_dead_camera() -> None:
    source, heard = open_fake(FakeFactory(steady(0, 3)))
    with source:
        threading.Timer(0.3, source.stop).start()
        begun = time.monotonic()
        assert len(list(source.frames())) <= 3
    assert 0.2 < time.monotonic() - begun < 8
    assert kinds(heard) == ["lost"]  # once, whatever the number of attempts


def test_the_time_limit_holds_during_an_outage_too() -> None:
    source, _ = open_fake(FakeFactory(steady(0, 3)), dataclasses.replace(QUICK, seconds=0.3))
    begun = time.monotonic()
    with source:
        list(source.frames())
    assert 0.25 < time.monotonic() - begun < 8


@pytest.mark.parametrize("name", ["stall_s", "corrupt_s", "open_s", "first_retry_s", "longest_retry_s", "seconds"])
def test_times_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected {name} above 0"):
        LiveSettings(**{name: 0.0})
