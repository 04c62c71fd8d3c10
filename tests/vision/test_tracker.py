# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitlens.vision import Box, Face, Tracker, TrackEvent, VisionError


def _face(left: float, top: float = 50.0, size: float = 40.0, score: float = 0.9) -> Face:
    return Face(Box(left, top, size, size), np.zeros((5, 2), np.float32), score)


def _told(events: Sequence[TrackEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.track) for event in events]


def _overlap(one: Box, other: Box) -> float:
    across = max(min(one.right, other.right) - max(one.left, other.left), 0.0)
    down = max(min(one.bottom, other.bottom) - max(one.top, other.top), 0.0)
    return across * down / (one.area + other.area - across * down)


class _Slow:
    """The rules one by one, without arrays: every pair is looked at again for each pair that is joined."""

    def __init__(self, start: float, least: float, overlap: float, patience: int) -> None:
        self.start, self.least, self.overlap, self.patience = start, least, overlap, patience
        self.tracks: dict[int, list[tuple[int, Face, float, float]]] = {}  # its faces, with the velocity after each
        self.strong: dict[int, list[int]] = {}  # frames of a track's strong faces
        self.looked: list[int] = []  # all frames
        self.count, self.before = 0, -1

    def run(self, number: int) -> int:
        """Strong frames of a track up to the newest, with none looked at between them."""
        run = 0
        for frame in reversed(self.looked):
            if frame not in self.strong[number]:
                break
            run += 1
        return run

    def _foretold(self, number: int, frame: int) -> Box:
        seen, face, x, y = self.tracks[number][-1]
        return Box(
            face.box.left + (frame - seen) * x, face.box.top + (frame - seen) * y, face.box.width, face.box.height
        )

    def _join(self, frame: int, numbers: set[int], faces: list[Face], pairs: dict[int, Face]) -> None:
        free = list(faces)
        while True:
            best, chosen = self.overlap, None
            for number in sorted(numbers - set(pairs)):
                for face in free:
                    value = _overlap(self._foretold(number, frame), face.box)
                    if value > best or (value == best and chosen is None):
                        best, chosen = value, (number, face)
            if chosen is None:
                return
            pairs[chosen[0]] = chosen[1]
            free.remove(chosen[1])

    def update(self, frame: int, faces: list[Face]) -> list[tuple[str, int, int, Face, int]]:
        self.looked.append(frame)
        strong = [face for face in faces if face.score >= self.start]
        weak = [face for face in faces if self.least <= face.score < self.start]
        pairs: dict[int, Face] = {}
        self._join(frame, set(self.tracks), strong, pairs)
        fresh = {number for number, faces in self.tracks.items() if faces[-1][0] == self.before}
        self._join(frame, fresh, weak, pairs)
        events: list[tuple[str, int, int, Face, int]] = []
        for number in sorted(self.tracks):
            seen, last, x, y = self.tracks[number][-1]
            if number in pairs:
                face, first = pairs[number], len(self.tracks[number]) == 1
                new_x = (face.box.centre[0] - last.box.centre[0]) / (frame - seen)
                new_y = (face.box.centre[1] - last.box.centre[1]) / (frame - seen)
                speed = (new_x, new_y) if first else (0.5 * x + 0.5 * new_x, 0.5 * y + 0.5 * new_y)
                self.tracks[number].append((frame, face, *speed))
                self.strong[number] += [frame] if face.score >= self.start else []
                events.append(("update", number, frame, face, self.run(number)))
            elif frame - seen > self.patience:
                events.append(("end", number, seen, last, 0))
                del self.tracks[number]
        for face in strong:
            if not any(face is taken for taken in pairs.values()):
                self.tracks[self.count] = [(frame, face, 0.0, 0.0)]
                self.strong[self.count] = [frame]
                events.append(("new", self.count, frame, face, 1))
                self.count += 1
        self.before = frame
        return events


# Whole and half pixels: sums and products are exact, so that both models meet the same ties.
_faces = st.lists(
    st.builds(
        lambda left, top, size, score: _face(left / 2, top / 2, size, score / 10),
        st.integers(0, 200),
        st.integers(0, 60),
        st.sampled_from([16, 24, 32]),
        st.integers(0, 10),
    ),
    max_size=7,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(1, 3), _faces), max_size=10), st.integers(0, 4), st.sampled_from([0.25, 0.5, 1.0])
)
def test_the_slow_model_gives_the_same_events(
    frames: list[tuple[int, list[Face]]], patience: int, overlap: float
) -> None:
    tracker = Tracker(start_score=0.6, least_score=0.3, least_overlap=overlap, patience=patience)
    slow, frame = _Slow(0.6, 0.3, overlap, patience), 0
    for gap, faces in frames:
        frame += gap
        events = tracker.update(frame, faces)
        assert [(e.kind, e.track, e.frame, e.face, e.run) for e in events] == slow.update(frame, faces)
    assert [event.track for event in tracker.finish()] == sorted(slow.tracks)


def test_a_face_that_comes_to_jump_past_its_own_width_is_one_track() -> None:
    tracker = Tracker()
    lefts = np.cumsum(np.arange(10, 60, 2)).tolist()  # steps of 10 to 58 pixels, 40 wide
    assert _told(tracker.update(0, [_face(lefts[0])])) == [("new", 0)]
    for frame, left in enumerate(lefts[1:], 1):
        assert _told(tracker.update(frame, [_face(left)])) == [("update", 0)]


def test_a_frame_without_faces_tells_nothing() -> None:
    tracker = Tracker()
    assert tracker.update(0, []) == []
    assert tracker.finish() == []


def test_two_faces_that_cross_keep_their_tracks() -> None:
    tracker, tracks = Tracker(), {}
    for frame in range(41):
        right, left = _face(5.0 * frame, 50), _face(200 - 5.0 * frame, 58)
        for event in tracker.update(frame, [right, left] if frame % 2 else [left, right]):
            tracks.setdefault(event.track, []).append("right" if event.face is right else "left")
    assert {number: set(sides) for number, sides in tracks.items()} in (
        {0: {"left"}, 1: {"right"}},
        {0: {"right"}, 1: {"left"}},
    )


def test_a_hidden_face_is_found_again_where_it_was_heading() -> None:
    tracker = Tracker(patience=10)
    for frame in range(10):
        tracker.update(frame, [_face(6.0 * frame)])
    for frame in range(10, 18):
        assert tracker.update(frame, []) == []
    assert _told(tracker.update(18, [_face(6.0 * 18)])) == [("update", 0)]


def test_a_face_that_leaves_ends_its_track_after_the_patience() -> None:
    tracker = Tracker(patience=3)
    face = _face(0)
    tracker.update(5, [face])
    assert [tracker.update(frame, []) for frame in (6, 7, 8)] == [[], [], []]
    assert tracker.update(9, []) == [TrackEvent("end", 0, 5, face)]
    assert _told(tracker.update(10, [face])) == [("new", 1)]


def test_a_weak_face_continues_a_track_and_begins_none() -> None:
    tracker = Tracker()
    tracker.update(0, [_face(0), _face(200, score=0.4)])
    assert _told(tracker.update(1, [_face(2, score=0.3)])) == [("update", 0)]
    assert _told(tracker.update(2, [_face(4, score=0.2)])) == []  # too weak
    assert _told(tracker.update(3, [_face(6, score=0.3)])) == []  # not seen in the frame before
    assert _told(tracker.update(4, [_face(8)])) == [("update", 0)]


def test_of_equal_overlaps_the_earlier_face_is_joined() -> None:
    tracker = Tracker()
    tracker.update(0, [_face(100)])
    one, other = _face(110), _face(90)
    events = tracker.update(1, [one, other])
    assert [(event.kind, event.track, event.face) for event in events] == [("update", 0, one), ("new", 1, other)]


def test_a_hundred_faces_are_a_hundred_tracks() -> None:
    tracker = Tracker()
    for frame in range(3):
        faces = [_face(60.0 * (k % 10) + frame, 60.0 * (k // 10)) for k in range(100)]
        events = tracker.update(frame, faces[::-1] if frame == 1 else faces)
        assert [event.track for event in events] == list(range(100))
    assert _told(tracker.finish()) == [("end", k) for k in range(100)]


def test_tracks_of_a_second_video_go_on_counting() -> None:
    tracker = Tracker()
    tracker.update(7, [_face(0)])
    tracker.finish()
    assert _told(tracker.update(0, [_face(0)])) == [("new", 1)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"least_score": 0.6}, "tracker: least_score must be start_score 0.5 at most, not 0.6"),
        ({"least_overlap": 0.0}, "tracker: least_overlap must be above 0 and 1 at most, not 0.0"),
        ({"patience": -1}, "tracker: patience must be 0 or more frames, not -1"),
    ],
)
def test_arguments_out_of_range(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(VisionError) as error:
        Tracker(**options)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_frames_must_come_in_order() -> None:
    tracker = Tracker()
    tracker.update(3, [])
    with pytest.raises(VisionError, match=r"^tracker: frame must be after 3, not 3$"):
        tracker.update(3, [])


def test_faces_of_half_the_score_that_begins_a_track_continue_it() -> None:
    tracker = Tracker(start_score=0.6)
    assert [event.kind for event in tracker.update(0, [_face(50, score=0.3)])] == []
    assert [event.kind for event in tracker.update(1, [_face(50, score=0.6)])] == ["new"]
    assert [event.kind for event in tracker.update(2, [_face(50, score=0.3)])] == ["update"]
    assert [event.kind for event in tracker.update(3, [_face(50, score=0.29)])] == []
