import csv
import json

import numpy as np
import pytest
from recognised import recognition, track_row

from tubelet.errors import ConfigError, OutputExistsError, VideoReadError
from tubelet.methods.recognition.outputs import MEDIA_FILES, SHARED_FILES, ResultWriter, unique_stems
from tubelet.methods.recognition.spool import RowSpool


def write(directory, names, *, overwrite=False, num_rows=3):
    with ResultWriter(directory, names, command="tubelet recognize", overwrite=overwrite) as results:
        for name in names:
            with results.source(name) as sink:
                for index in range(num_rows):
                    sink.add(track_row(1, index))
                sink.finish(recognition(name))
    return results


def interrupted(directory, names, *, finish):
    """A command that is interrupted in its last source, after the recognitions in `finish` were handed over."""
    with ResultWriter(directory, names, overwrite=True) as results:
        for name in names:
            with results.source(name) as sink:
                sink.add(track_row(1, 0))
                if name in finish:
                    sink.finish(recognition(name))
                if name == names[-1]:
                    raise KeyboardInterrupt


def sources_in(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [row["source"] for row in csv.DictReader(file)]


def test_everything_is_written_where_it_belongs(tmp_path):
    results = write(tmp_path / "out" / "deep", ["a/walk.mp4", "b/walk.mp4"])
    found = sorted(p.relative_to(tmp_path / "out" / "deep").as_posix() for p in (tmp_path / "out" / "deep").rglob("*"))
    assert found == sorted(
        [
            *SHARED_FILES,
            "walk",
            "walk/actions.srt",
            "walk/actions.vtt",
            "walk-2",
            "walk-2/actions.srt",
            "walk-2/actions.vtt",
        ]
    )
    assert results.report_path == tmp_path / "out" / "deep" / "report.html"


def test_csv_files_hold_all_sources_in_order(tmp_path):
    write(tmp_path, ["b.mp4", "a.mp4"])
    assert (tmp_path / "actions.csv").read_text("utf-8").splitlines()[
        0
    ] == "source,track_id,start_s,end_s,label,probability"
    header = (tmp_path / "tracks.csv").read_text("utf-8").splitlines()[0]
    assert header == "source,track_id,time_s,x0_px,y0_px,x1_px,y1_px,score,interpolated"
    assert sources_in(tmp_path / "actions.csv") == ["b.mp4"] * 4 + ["a.mp4"] * 4
    assert sources_in(tmp_path / "tracks.csv") == ["b.mp4"] * 3 + ["a.mp4"] * 3
    document = json.loads((tmp_path / "actions.json").read_text("utf-8"))
    assert [source["source"] for source in document["sources"]] == ["b.mp4", "a.mp4"]


def test_whole_frame_models_leave_the_header_only(tmp_path):
    write(tmp_path, ["a.mp4"], num_rows=0)
    assert len((tmp_path / "tracks.csv").read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("existing", [*SHARED_FILES, *(f"a/{name}" for name in MEDIA_FILES)])
def test_an_existing_result_stops_the_command_before_it_starts(tmp_path, existing):
    (tmp_path / "a").mkdir()
    (tmp_path / existing).write_text("mine")
    with pytest.raises(OutputExistsError, match=r"already exists; pass --overwrite") as caught:
        ResultWriter(tmp_path, ["a.mp4"])
    assert existing.split("/")[-1] in str(caught.value)
    assert (tmp_path / existing).read_text() == "mine"


def test_other_files_in_the_folder_are_no_obstacle(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, ["a.mp4"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overwrite_replaces_results_and_removes_a_video_that_no_longer_agrees(tmp_path):
    write(tmp_path, ["a.mp4"])
    (tmp_path / "a" / "annotated.mp4").write_bytes(b"old")
    write(tmp_path, ["a.mp4"], overwrite=True, num_rows=1)
    assert sources_in(tmp_path / "tracks.csv") == ["a.mp4"]
    assert not (tmp_path / "a" / "annotated.mp4").exists()


def test_an_interruption_keeps_the_sources_that_were_complete(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, ["a.mp4", "b.mp4"], finish=["a.mp4"])
    for name in ("actions.csv", "tracks.csv"):
        assert set(sources_in(tmp_path / name)) == {"a.mp4"}
    assert (tmp_path / "report.html").stat().st_size > 1000
    assert not (tmp_path / "b").exists()
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_interruption_while_drawing_keeps_what_was_recognised(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, ["a.mp4"], finish=["a.mp4"])
    assert sources_in(tmp_path / "tracks.csv") == ["a.mp4"]
    assert "<video" not in (tmp_path / "report.html").read_text("utf-8")


def test_an_interruption_before_anything_is_complete_leaves_everything_as_it_was(tmp_path):
    write(tmp_path / "old", ["a.mp4"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir() if path.is_file()}
    for directory in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            interrupted(directory, ["a.mp4"], finish=[])
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir() if path.is_file()} == before
    assert not (tmp_path / "new").exists()


def test_a_failing_source_is_listed_and_the_others_are_written(tmp_path):
    error = VideoReadError("bad.mp4", "truncated", "the file ends early; copy it again")
    with ResultWriter(tmp_path, ["bad.mp4", "a.mp4"]) as results:
        try:
            with results.source("bad.mp4") as sink:
                sink.add(track_row(1, 0))
                raise error
        except VideoReadError as caught:
            results.fail("bad.mp4", caught)
        with results.source("a.mp4") as sink:
            sink.finish(recognition("a.mp4"))
    document = json.loads((tmp_path / "actions.json").read_text("utf-8"))
    assert [source["source"] for source in document["sources"]] == ["a.mp4"]
    assert document["failures"] == [{"source": "bad.mp4", "cause": "truncated", "message": str(error)}]
    assert sources_in(tmp_path / "tracks.csv") == []
    assert "the file ends early" in (tmp_path / "report.html").read_text("utf-8")


def test_when_everything_fails_the_result_says_so(tmp_path):
    with ResultWriter(tmp_path, ["bad.mp4"]) as results:
        results.fail("bad.mp4", VideoReadError("bad.mp4", "empty", "zero bytes"))
    document = json.loads((tmp_path / "actions.json").read_text("utf-8"))
    assert (document["sources"], len(document["failures"])) == ([], 1)


def test_results_are_on_disk_before_the_next_source_begins(tmp_path):
    with ResultWriter(tmp_path, ["a.mp4", "b.mp4"]) as results:
        with results.source("a.mp4") as sink:
            sink.add(track_row(1, 0))
            sink.finish(recognition("a.mp4"))
        assert set(sources_in(tmp_path / "actions.csv")) == {"a.mp4"}
        assert sources_in(tmp_path / "tracks.csv") == ["a.mp4"]
        with results.source("b.mp4") as sink:
            sink.finish(recognition("b.mp4"))


def test_rows_come_back_for_the_pass_that_draws(tmp_path):
    rows = [track_row(1 + i % 3, i, landmarks=bool(i % 2), interpolated=bool(i % 5)) for i in range(1300)]
    with ResultWriter(tmp_path, ["a.mp4"]) as results, results.source("a.mp4") as sink:
        for row in rows:
            sink.add(row)
        again = list(sink.rows())
        sink.finish(recognition("a.mp4"))
    assert len(again) == 1300
    for row, back in zip(rows, again, strict=True):
        assert (back.track_id, back.frame_index, back.time_s, back.box_px) == (
            row.track_id,
            row.frame_index,
            row.time_s,
            row.box_px,
        )
        assert (back.score, back.interpolated) == (row.score, row.interpolated)
        if row.landmarks_px is None:
            assert back.landmarks_px is None
        else:
            np.testing.assert_array_equal(back.landmarks_px, row.landmarks_px)


def test_a_spool_gives_rows_while_it_still_grows(tmp_path):
    with RowSpool(tmp_path / "rows") as spool:
        spool.append(track_row(1, 0))
        assert [row.frame_index for row in spool.rows()] == [0]
        spool.append(track_row(1, 1))
        assert [row.frame_index for row in spool.rows()] == [0, 1]


def test_the_report_links_the_annotated_video_when_there_is_one(tmp_path):
    with ResultWriter(tmp_path, ["my clip #1.mp4"]) as results, results.source("my clip #1.mp4") as sink:
        sink.finish(recognition("my clip #1.mp4"))
        path = sink.media_path("annotated.mp4")
        path.write_bytes(b"video")
        sink.add_video(path, offset_s=1.5)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert 'src="my%20clip%20%231/annotated.mp4#t=0.1"' in page
    assert 'data-offset="1.5"' in page
    assert path.read_bytes() == b"video"


def test_making_the_writer_touches_nothing(tmp_path):
    assert ResultWriter(tmp_path / "out", ["a.mp4"]).stems == {"a.mp4": "a"}
    assert not (tmp_path / "out").exists()


def test_rows_out_of_order_are_refused(tmp_path):
    with ResultWriter(tmp_path, ["a.mp4"]) as results, results.source("a.mp4") as sink:
        sink.add(track_row(1, 1))
        with pytest.raises(ValueError, match="order of time"):
            sink.add(track_row(1, 0))
        sink.finish(recognition("a.mp4"))


def test_a_source_must_be_announced_and_finished(tmp_path):
    with ResultWriter(tmp_path, ["a.mp4"]) as results:
        with pytest.raises(ValueError, match="was not announced"), results.source("b.mp4"):
            pass
        with pytest.raises(ValueError, match="finish"), results.source("a.mp4"):
            pass
    with (
        ResultWriter(tmp_path, ["a.mp4"], overwrite=True) as results,
        pytest.raises(ValueError, match=r"is of 'b\.mp4'"),
        results.source("a.mp4") as sink,
    ):
        sink.finish(recognition("b.mp4"))


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(ConfigError, match=r"out is a file; --out takes a folder"):
        ResultWriter(tmp_path / "out", ["a.mp4"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ConfigError, match="results cannot be written here"),
        ResultWriter(tmp_path / "file" / "out", ["a.mp4"]),
    ):
        pass


@pytest.mark.parametrize(
    ("sources", "stems"),
    [
        (["a/walk.mp4", "b/walk.avi", "Walk.mkv"], ["walk", "walk-2", "Walk-3"]),
        (["walk-2.mp4", "a/walk.mp4", "b/walk.mp4"], ["walk-2", "walk", "walk-3"]),
        (["0", "1"], ["camera-0", "camera-1"]),
        (["rtsp://user:secret@cam.local:554/live/1"], ["cam.local-live-1"]),
        (["...mp4", ".mp4", "report.html.mp4", "a:b?.mp4"], ["source", "mp4", "report.html-2", "a-b"]),
        (["umläut ö.mp4"], ["umläut ö"]),
    ],
)
def test_stems_are_unique_and_safe(sources, stems):
    assert list(unique_stems(sources).values()) == stems


def test_a_source_named_twice_is_told():
    with pytest.raises(ConfigError, match=r"a\.mp4 is named twice"):
        unique_stems(["a.mp4", "a.mp4"])
