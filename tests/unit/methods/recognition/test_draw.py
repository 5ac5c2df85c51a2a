import itertools

import numpy as np
import pytest
from recognised import recognition, segment, track_row

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.draw import Annotator, RowsByFrame, draw_video
from tubelet.methods.recognition.palette import person_colour
from tubelet.methods.recognition.strip import MAX_LANES, TimelineStrip
from tubelet.methods.recognition.typesetting import blend, label_plate
from tubelet.video import Frame, VideoReader, VideoWriter, probe

GREY = 90


def frame(index=0, *, width=320, height=180):
    return Frame(image=np.full((height, width, 3), GREY, np.uint8), time_s=index / 25, index=index)


def near(picture, colour, tolerance=12):
    return np.all(np.abs(picture.astype(int) - np.array(colour)) <= tolerance, axis=2)


def changed(picture):
    return np.any(picture != GREY, axis=2)


def test_a_box_is_drawn_where_the_person_is():
    annotator = Annotator(recognition(), width=320, height=180)
    picture = annotator.draw(frame(), [track_row(1, 0, box_px=(100, 60, 150, 140))])[:180, :320]
    rows, columns = np.nonzero(near(picture, person_colour(1)) & (np.arange(180)[:, None] >= 60))
    assert (columns.min(), columns.max() + 1) == (100, 150)
    assert (rows.min(), rows.max() + 1) == (60, 140)


def test_only_guesses_over_a_long_gap_have_a_thin_box():
    annotator = Annotator(recognition(), width=1280, height=720)
    areas = []
    for changes in ({}, {"interpolated": True, "landmarks": True}, {"interpolated": True}):
        row = track_row(1, 0, box_px=(300, 200, 500, 600), **changes)
        if row.landmarks_px is not None:
            row.landmarks_px[:, 2] = 0
        picture = annotator.draw(frame(width=1280, height=720), [row])[:720]
        areas.append(near(picture, person_colour(1))[300:500].sum())
    assert areas[0] == areas[1]
    assert areas[2] < areas[0]


def test_the_label_lies_above_the_box_and_stays_inside_the_picture():
    annotator = Annotator(recognition(), width=320, height=180)
    plain = annotator.draw(frame(), [track_row(1, 0, box_px=(100, 60, 150, 140))])[:180, :320].copy()
    above = changed(plain) & (np.arange(180)[:, None] < 58)
    rows, columns = np.nonzero(above)
    assert rows.min() >= 60 - 30
    assert columns.min() == 100
    corner = annotator.draw(frame(), [track_row(1, 0, box_px=(300, 0, 340, 60))])[:180, :320]
    below = np.nonzero(changed(corner) & (np.arange(180)[:, None] > 62))
    assert below[0].size > 0
    assert below[1].min() > 180


def test_labels_of_people_who_overlap_do_not_cover_each_other():
    annotator = Annotator(recognition(), width=320, height=180)
    rows = [track_row(1, 40, box_px=(100, 80, 150, 140)), track_row(2, 40, box_px=(104, 82, 150, 140))]
    picture = annotator.draw(frame(40), rows)[:180, :320]
    areas = [near(picture, person_colour(track_id)).sum() for track_id in (1, 2)]
    alone = [near(annotator.draw(frame(40), [row])[:180, :320], person_colour(row.track_id)).sum() for row in rows]
    assert areas[0] > 0.7 * alone[0]
    assert areas[1] > 0.7 * alone[1]


def test_limbs_are_drawn_between_visible_landmarks_only():
    annotator = Annotator(recognition(), width=320, height=180)
    row = track_row(1, 0, box_px=(100, 40, 200, 170), landmarks=True)
    row.landmarks_px[:, :2] = 150, 100
    row.landmarks_px[:, 2] = 0
    bare = annotator.draw(frame(), [row])[:180, :320].copy()
    assert not changed(bare)[90:150, 130:180].any()
    row.landmarks_px[25, :] = 160, 100, 0.9  # left knee
    row.landmarks_px[27, :] = 160, 140, 0.9  # left ankle
    drawn = annotator.draw(frame(), [row])[:180, :320]
    assert near(drawn, person_colour(1), tolerance=70)[110:130, 160].all()
    assert not changed(drawn)[90:150, 130:155].any()


def test_the_picture_itself_is_not_changed_and_may_be_read_only():
    source = frame()
    source.image.setflags(write=False)
    Annotator(recognition(), width=320, height=180).draw(source, [track_row(1, 0, landmarks=True)])
    assert (source.image == GREY).all()


def test_pictures_of_odd_size_become_even():
    picture = Annotator(recognition(), width=321, height=181).draw(frame(width=321, height=181), [])
    assert picture.shape[0] % 2 == 0
    assert picture.shape[1] == 322
    assert (picture[:181, :321] == GREY).all()


def test_frames_that_change_their_size_are_brought_to_the_first_one():
    annotator = Annotator(recognition(), width=320, height=180)
    first = annotator.draw(frame(), [track_row(1, 0, box_px=(100, 60, 150, 140), landmarks=True)]).copy()
    large = track_row(1, 0, box_px=(200, 120, 300, 280), landmarks=True)
    second = annotator.draw(frame(width=640, height=360), [large])
    np.testing.assert_array_equal(first, second)


def test_boxes_and_landmarks_far_outside_do_no_harm():
    annotator = Annotator(recognition(), width=320, height=180)
    row = track_row(1, 0, box_px=(-900.0, -900.0, 5000.0, 4000.0), landmarks=True)
    row.landmarks_px[::2, :2] = 1e9
    annotator.draw(frame(), [row])
    assert annotator.draw(frame(), [track_row(2, 0, box_px=(5.0, 5.0, 5.5, 5.5))]).shape[1] == 320


def test_the_playhead_moves_over_the_strip():
    annotator = Annotator(recognition(), width=320, height=180)
    places = []
    for index in (0, 75, 149):
        strip = annotator.draw(frame(index), [])[180:]
        places.append(int(np.flatnonzero((strip[strip.shape[0] // 2] == 255).all(axis=1)).mean()))
    assert places == sorted(places)
    assert places[0] < 20
    assert places[1] == pytest.approx(160, abs=4)
    assert places[2] > 295


def test_the_strip_shows_each_person_in_their_lane():
    strip = TimelineStrip(recognition(), width=320, text_px=12)
    picture = np.zeros((strip.height, 320, 3), np.uint8)
    strip.draw(picture, 0.0)
    for track_id, start, end in ((1, 0, 6), (2, 1, 3)):
        columns = np.flatnonzero(near(picture, person_colour(track_id)).sum(axis=0) > 6)
        assert columns.min() == pytest.approx(10 + 300 * start / 6, abs=3)
        assert columns.max() == pytest.approx(10 + 300 * end / 6, abs=4)


def test_a_long_video_turns_pages():
    long = recognition(segments=[segment(1, 0.0, 20.0, "walk"), segment(2, 100.0, 120.0, "wave")], duration_s=600.0)
    strip = TimelineStrip(long, width=320, text_px=12)
    picture = np.zeros((strip.height, 320, 3), np.uint8)
    shown = []
    for time_s in (1.0, 50.0, 110.0):
        strip.draw(picture, time_s)
        shown.append([bool(near(picture, person_colour(track_id)).any()) for track_id in (1, 2)])
    assert shown == [[True, False], [False, False], [False, True]]


def test_a_crowd_has_a_bounded_strip():
    crowd = recognition(segments=[segment(i, 0.0, 6.0, "walk") for i in range(1, 60)])
    few = recognition(segments=[segment(i, 0.0, 6.0, "walk") for i in range(1, MAX_LANES + 1)])
    assert TimelineStrip(crowd, width=320, text_px=12).height == TimelineStrip(few, width=320, text_px=12).height


def test_people_who_follow_each_other_share_a_lane():
    after = recognition(segments=[segment(i, i * 1.0, i + 1.0, "walk") for i in range(5)])
    one = recognition(segments=[segment(1, 0.0, 6.0, "walk")])
    assert TimelineStrip(after, width=320, text_px=12).height == TimelineStrip(one, width=320, text_px=12).height


def test_whole_frame_labels_stand_in_the_corner():
    scene = recognition(segments=[segment(0, 0.0, 6.0, "surf")])
    picture = Annotator(scene, width=320, height=180).draw(frame(), [])[:180, :320]
    rows, columns = np.nonzero(changed(picture))
    assert rows.size > 0
    assert rows.max() < 40
    assert columns.max() < 160


def test_nobody_means_no_strip_and_the_picture_as_it_was():
    picture = Annotator(recognition(segments=[]), width=320, height=180).draw(frame(), [])
    assert picture.shape == (180, 320, 3)
    assert (picture == GREY).all()


def test_rows_meet_their_frames_and_missing_rows_are_fine():
    rows = RowsByFrame([track_row(1, 1), track_row(2, 1), track_row(1, 2), track_row(1, 4)])
    assert [[row.track_id for row in rows.at(index)] for index in (0, 1, 3, 4, 5)] == [[], [1, 2], [], [1], []]


def test_a_plate_is_blended_with_its_edges_cut():
    plate = label_plate("1", "walk  93 %", (64, 156, 255), (16, 18, 24), 14, is_dim=False)
    for x, y in itertools.product((-500, -10, 0, 25, 500), repeat=2):
        picture = np.full((40, 60, 3), GREY, np.uint8)
        blend(picture, plate, x, y)
        if abs(x) == 500 or abs(y) == 500:
            assert (picture == GREY).all()
    picture = np.full((plate.height, plate.width, 3), GREY, np.uint8)
    blend(picture, plate, 0, 0)
    assert tuple(picture[0, 0]) != (64, 156, 255), "corners are round"
    assert near(picture, (64, 156, 255)).mean() > 0.3


def write_clip(path, num_frames=30):
    with VideoWriter(path, width=160, height=90, fps=25) as writer:
        for index in range(num_frames):
            writer.write(np.full((90, 160, 3), 4 * index, np.uint8), index / 25)


def test_the_annotated_video_has_the_frames_and_times_of_the_source(tmp_path):
    source, out = tmp_path / "clip.mp4", tmp_path / "annotated.mp4"
    write_clip(source)
    seen = []
    whole = recognition(str(source), info=probe(str(source)), duration_s=1.2)
    offset_s = draw_video(str(source), [track_row(1, 3)], whole, out, on_frame=lambda: seen.append(1))
    assert offset_s == 0.0
    assert len(seen) == 30
    assert whole.timings_s["draw"] > 0
    assert whole.timings_s["encode"] > 0
    with VideoReader(str(out)) as reader:
        frames = list(reader.frames())
    assert [item.time_s for item in frames] == pytest.approx([i / 25 for i in range(30)], abs=1e-3)
    assert frames[0].image.shape[0] > 90
    assert frames[20].image[45, 150].tolist() == pytest.approx([80, 80, 80], abs=6)


def test_a_part_of_a_video_says_where_it_begins(tmp_path):
    source, out = tmp_path / "clip.mp4", tmp_path / "annotated.mp4"
    write_clip(source)
    offset_s = draw_video(str(source), [], recognition(info=None), out, start_s=0.4, end_s=0.8)
    assert offset_s == pytest.approx(0.4)
    with VideoReader(str(out)) as reader:
        assert len(list(reader.frames())) == 10


def test_no_frames_is_an_error_and_leaves_nothing(tmp_path):
    source, out = tmp_path / "clip.mp4", tmp_path / "annotated.mp4"
    write_clip(source)
    with pytest.raises(VideoReadError, match="no picture was found"):
        draw_video(str(source), [], recognition(), out, start_s=0.41, end_s=0.43)
    assert not out.exists()
