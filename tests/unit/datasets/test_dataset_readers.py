"""Published datasets are read in their real layouts, and what is wrong in one is told with file and line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from miniature_datasets import (
    KINETICS_HEADER,
    make_activitynet,
    make_ava,
    make_charades,
    make_diving48,
    make_hmdb51,
    make_kinetics,
    make_mmaction2,
    make_something_v2,
    make_ucf101,
    put_text,
    put_videos,
)

from tubelet.datasets.activitynet import read_activitynet, read_activitynet_timelines
from tubelet.datasets.ava import read_ava
from tubelet.datasets.charades import read_charades, read_charades_timelines
from tubelet.datasets.diving48 import read_diving48
from tubelet.datasets.hmdb51 import read_hmdb51
from tubelet.datasets.kinetics import missing_from_kinetics, read_kinetics
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.mmaction2 import read_mmaction2
from tubelet.datasets.something_v2 import read_something_v2
from tubelet.datasets.ucf101 import read_ucf101
from tubelet.errors import DatasetError
from tubelet.metrics.timeline import LabelledInterval


def rows(clips: ClipSet) -> list[tuple[object, ...]]:
    assert all(clip.path.is_file() for clip in clips.clips)
    return [(clip.id, clip.labels, clip.group, clip.split) for clip in clips.clips]


def said_of(read: Callable[[], object]) -> str:
    with pytest.raises(DatasetError) as caught:
        read()
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_ucf101(tmp_path: Path) -> None:
    clips = read_ucf101(make_ucf101(tmp_path))
    assert clips.name == "UCF-101 fold 1" and clips.classes == ("ApplyEyeMakeup", "YoYo") and len(clips) == 12
    assert rows(clips)[0] == (
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi",
        (0,),
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g02",
        "train",
    )
    assert {clip.group.split("_")[-1] for clip in clips.of("test").clips} == {"g01"}
    assert {clip.group.split("_")[-1] for clip in read_ucf101(tmp_path, fold=2).of("test").clips} == {"g02"}
    moved = tmp_path / "lists"
    shutil.move(tmp_path / "ucfTrainTestlist", moved)
    assert read_ucf101(tmp_path, annotations=moved) == clips
    assert "the list of classes is not there: looked for classInd.txt in" in said_of(lambda: read_ucf101(tmp_path))


def test_ucf101_converted_and_flat(tmp_path: Path) -> None:
    make_ucf101(tmp_path)
    for path in list((tmp_path / "UCF-101").rglob("*.avi")):
        path.rename(tmp_path / path.with_suffix(".mp4").name)
    assert rows(read_ucf101(tmp_path))[0][0] == "v_ApplyEyeMakeup_g02_c01.mp4"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("classInd.txt", "1 Apply", "0 Apply", "classInd.txt, line 1: '0 ApplyEyeMakeup'; allowed: the number 1, a"),
        ("classInd.txt", "2 YoYo", "2 ApplyEyeMakeup", "line 2: '2 ApplyEyeMakeup'; allowed: the number 2, a space"),
        ("trainlist01.txt", "c01.avi 1", "c01.avi 2", "line 1: ApplyEyeMakeup has the number 2 here and 1 in"),
        ("trainlist01.txt", "ApplyEyeMakeup/", "Apply/", "line 1: there is no class 'Apply' in classInd.txt; is it"),
        ("trainlist01.txt", "ApplyEyeMakeup/v", "v", "allowed: CLASS/FILE.avi, and in a list for training its number"),
        ("testlist01.txt", "_g01_c01", "_g02_c01", "_g02_c01.avi is in trainlist01.txt, line 1 already"),
        ("testlist01.txt", "_g01_c01", "", "v_ApplyEyeMakeup.avi has no group and part (_g01_c02)"),
        ("testlist01.txt", "_g01_c01", "_g77_c01", "not there: ApplyEyeMakeup/v_ApplyEyeMakeup_g77_c01.avi; bring"),
    ],
)  # fmt: skip
def test_a_wrong_list_of_ucf101(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    edit(make_ucf101(tmp_path) / "ucfTrainTestlist" / file, old, new)
    assert said in said_of(lambda: read_ucf101(tmp_path))


def test_one_video_in_two_places_is_told(tmp_path: Path) -> None:
    make_ucf101(tmp_path)
    put_videos(tmp_path, ["small/YoYo/v_YoYo_g01_c01.mp4"])
    assert (
        "'v_YoYo_g01_c01' could be UCF-101/YoYo/v_YoYo_g01_c01.avi or small/YoYo/v_YoYo_g01_c01.mp4; keep"
        in said_of(lambda: read_ucf101(tmp_path))
    )


def test_hmdb51(tmp_path: Path) -> None:
    clips = read_hmdb51(make_hmdb51(tmp_path))
    assert clips.classes == ("brush_hair", "climb_stairs") and clips.name == "HMDB51 fold 1"
    assert [(clip.path.name[:10], clip.label, clip.group, clip.split) for clip in clips.clips] == [
        ("April_09_b", 0, "April_09", "train"),
        ("April_09_b", 0, "April_09", "train"),
        ("Prelinger_", 0, "Prelinger_HabitPat1954", "test"),
        ("April_09_c", 1, "April_09", "train"),  # the same film in another class
        ("Crash_clim", 1, "Crash", "train"),
        ("BIG_FISH_c", 1, "BIG_FISH", "test"),
    ]
    list_file = tmp_path / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt"
    edit(list_file, "_0.avi 1", "_0.avi 3")
    assert "line 1: 'April_09_brush_hair_u_nm_np1_ba_goo_0.avi 3'; allowed: a file name and 1 (train)" in said_of(
        lambda: read_hmdb51(tmp_path)
    )
    assert "the lists of fold 4 are not there: looked for *_test_split4.txt" in said_of(
        lambda: read_hmdb51(tmp_path, fold=4)
    )


def test_hmdb51_lists_a_clip_once(tmp_path: Path) -> None:
    make_hmdb51(tmp_path)
    edit(tmp_path / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt", "goo_1.avi", "goo_0.avi")
    assert (
        "line 2: brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi is in brush_hair_test_split1.txt, line 1"
        in said_of(lambda: read_hmdb51(tmp_path))
    )


@pytest.mark.parametrize("flat", [False, True])
def test_kinetics(tmp_path: Path, flat: bool) -> None:
    clips = read_kinetics(make_kinetics(tmp_path, flat=flat))
    assert clips.classes == ("abseiling", "air drumming") and clips.name == "Kinetics (2 classes)"
    found = {(clip.path.stem, clip.labels, clip.group, clip.split) for clip in clips.clips}
    assert found == {
        ("0wR5jVB-WPk_000417_000427", (0,), "0wR5jVB-WPk", "train"),
        ("-3VbfDkJ1FM_000002_000012", (1,), "-3VbfDkJ1FM", "train"),
        ("3caPS4FHFF8_000036_000046", (0,), "3caPS4FHFF8", "val"),
        ("d3VbfDkJ1FM", (1,), "d3VbfDkJ1FM", "val"),
        ("zzR5jVB-WPk_000000_000010", (), "zzR5jVB-WPk", "test"),
    }


def test_kinetics_with_missing_files(tmp_path: Path) -> None:
    make_kinetics(tmp_path)
    (tmp_path / "videos_val" / "air_drumming" / "d3VbfDkJ1FM.webm").unlink()
    assert (
        "1 of 5 videos that are listed are not there: d3VbfDkJ1FM_000102_000112; bring them, or pass allow_missing"
        in said_of(lambda: read_kinetics(tmp_path))
    )
    clips = read_kinetics(tmp_path, allow_missing=True)
    assert len(clips) == 4 and clips.split_rule == (
        "the official test.csv, train.csv, validate.csv; 1 of 5 videos that are listed are not there and are left out "
        "(d3VbfDkJ1FM_000102_000112)"
    )
    assert missing_from_kinetics(tmp_path) == ("d3VbfDkJ1FM_000102_000112",)


def test_a_clip_of_kinetics_in_two_folders_is_told_by_split_and_class(tmp_path: Path) -> None:
    make_kinetics(tmp_path)
    put_videos(tmp_path, ["videos_val/abseiling/0wR5jVB-WPk_000417_000427.mp4"])
    assert "videos_train/abseiling/0wR5jVB-WPk_000417_000427.mp4" in [clip.id for clip in read_kinetics(tmp_path).clips]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("abseiling,x,5,4,train", "time_start is 5 and time_end 4; allowed: 0 <= time_start < time_end"),
        ("abseiling,x,a,4,train", "time_start is 'a'; allowed: a finite number"),
        (",x,1,4,train", "label is empty; allowed: the name of a class (only a test may have none)"),
        ("abseiling,,1,4,train", "youtube_id is empty"),
        ("abseiling,x,1,4,dev", "split is 'dev'; allowed: train, val, validate or test"),
        ("abseiling,0wR5jVB-WPk,417,427,train", "0wR5jVB-WPk_000417_000427 is in train.csv, line 2 already"),
        ("abseil,x,1,4,val", "line 4: the class 'abseil' has no clip for training; is it spelt otherwise there?"),
    ],
)
def test_a_wrong_line_of_kinetics(tmp_path: Path, row: str, said: str) -> None:
    path = make_kinetics(tmp_path) / "annotations" / "train.csv"
    path.write_text(path.read_text() + f"\n{row}\n")
    assert said in said_of(lambda: read_kinetics(tmp_path))


def test_kinetics_files_by_other_names(tmp_path: Path) -> None:
    make_kinetics(tmp_path)
    (tmp_path / "annotations" / "train.csv").rename(tmp_path / "annotations" / "kinetics-400_train.csv")
    assert len(read_kinetics(tmp_path)) == 5
    one = read_kinetics(tmp_path, annotations=tmp_path / "annotations" / "kinetics-400_train.csv")
    assert {clip.split for clip in one.clips} == {"train"}
    put_text(tmp_path, {"annotations/val.csv": KINETICS_HEADER})
    assert "val.csv and validate.csv are both for val; keep one of them" in said_of(lambda: read_kinetics(tmp_path))
    shutil.rmtree(tmp_path / "annotations")
    assert "no CSV file of Kinetics is there: looked for train.csv" in said_of(lambda: read_kinetics(tmp_path))


def test_something_v2(tmp_path: Path) -> None:
    clips = read_something_v2(make_something_v2(tmp_path))
    assert clips.classes == ("Holding something next to something", "Putting something similar to other things")
    assert [(clip.path.stem, clip.labels, clip.split) for clip in clips.clips] == [
        ("78687", (0,), "train"),
        ("42326", (1,), "train"),
        ("74225", (0,), "val"),
        ("1420", (), "test"),
    ]
    for name in ("labels", "train", "validation", "test"):
        (tmp_path / "labels" / f"{name}.json").rename(tmp_path / f"something-something-v2-{name}.json")
    assert rows(read_something_v2(tmp_path)) == rows(clips)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("labels", '"1"', '"2"', "has the number '2'; allowed: 0 to 1, each once"),
        ("labels", '"1"', '"0"', "has the number '0'; allowed: 0 to 1, each once"),
        ("labels", "Putting something similar to other things", "Holding something next to something", "there twice"),
        ("train", "Holding [", "Keeping [", "item 0: the template 'Keeping [something] next to [something]' is"),
        ("train", '"78687"', "null", "train.json, item 0: the id is None; allowed: an object with id and template"),
        ("validation", "74225", "78687", "validation.json, item 0: 78687 is in train.json, item 0 already"),
        ("validation", "74225", "5", "1 of 4 videos that are listed are not there: 5; bring"),
        ("test", "[", "{", "test.json, line 1: is not JSON"),
        ("test", '"1420"', "1" * 5000, "test.json: is no JSON of annotations (Exceeds the limit"),
        ("test", '[{"id": "1420"}]', "{}", "test.json: is no list of objects; take the test.json of the dataset"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_something_v2(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    edit(make_something_v2(tmp_path) / "labels" / f"{file}.json", old, new)
    assert said in said_of(lambda: read_something_v2(tmp_path))


def test_diving48(tmp_path: Path) -> None:
    clips = read_diving48(make_diving48(tmp_path))
    assert clips.classes == ("Back 15som 05Twis FREE", "Back 15som NoTwis PIKE")
    assert rows(clips) == [
        ("rgb/_8Vy3dlHg2w_00000.mp4", (0,), "_8Vy3dlHg2w", "train"),
        ("rgb/_8Vy3dlHg2w_00001.mp4", (1,), "_8Vy3dlHg2w", "train"),
        ("rgb/-mmq0PT-u8k_00155.mp4", (1,), "-mmq0PT-u8k", "test"),
    ]
    edit(tmp_path / "Diving48_V2_test.json", '"label": 1', '"label": 2')
    assert "Diving48_V2_test.json, item 0: the label is 2; allowed: 0 to 1 (do the ids count from 1?)" in said_of(
        lambda: read_diving48(tmp_path)
    )
    edit(tmp_path / "Diving48_V2_train.json", '"_8Vy3dlHg2w_00000"', "3")
    assert "item 0: vid_name is 3; allowed: an object with vid_name and label" in said_of(
        lambda: read_diving48(tmp_path)
    )
    edit(tmp_path / "Diving48_vocab.json", "[[", "[0, [")
    assert "is no list of dives such as" in said_of(lambda: read_diving48(tmp_path))


def test_charades_as_clips_with_several_labels(tmp_path: Path) -> None:
    clips = read_charades(make_charades(tmp_path))
    assert clips.is_multi_label and clips.classes == ("Holding some clothes", "Pouring something into a cup")
    assert rows(clips) == [
        ("Charades_v1_480/46GP8.mp4", (0, 1), "HR43", "train"),
        ("Charades_v1_480/N11GT.mp4", (), "0KZ7", "train"),
        ("Charades_v1_480/YSKX3.mp4", (0,), "F0ZT", "test"),
    ]


def test_charades_as_timelines(tmp_path: Path) -> None:
    timelines = read_charades_timelines(make_charades(tmp_path))
    assert timelines.videos[0].intervals == (
        LabelledInterval(0, 0.6, "Holding some clothes"),
        LabelledInterval(0.2, 0.9, "Pouring something into a cup"),
    )
    assert timelines.videos[0].duration_s == 1 and timelines.videos[1].intervals == ()
    assert timelines.left_out == ("YSKX3: 0.7 to 0.7 s has no length",)
    assert [video.id for video in timelines.of("test").videos] == ["Charades_v1_480/YSKX3.mp4"]
    with pytest.raises(DatasetError, match="has no videos in split 'val'; it has test, train"):
        timelines.of("val")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("v1_train.csv", "c092 0.20", "c999 0.20", "line 2: there is no class 'c999' in Charades_v1_classes.txt"),
        ("v1_train.csv", "0.20 0.90", "0.90", "line 2: an action is 'c092 0.90'; allowed: a class and two times"),
        ("v1_train.csv", "0.20 0.90", "x 0.90", "line 2: the begin is 'x'; allowed: a finite number"),
        ("v1_train.csv", "N11GT", "46GP8", "line 3: 46GP8 is in Charades_v1_train.csv, line 2 already"),
        ("v1_test.csv", "YSKX3", "GONE0", "1 of 3 videos that are listed are not there: GONE0"),
        ("v1_classes.txt", "c092 ", "92 ", "line 2: '92 Pouring something into a cup'; allowed: a new code"),
        ("v1_test.csv", "subject", "person", "the header lacks subject; allowed: id,subject,actions"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_charades(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    edit(make_charades(tmp_path) / "Charades" / f"Charades_{file}", old, new)
    assert said in said_of(lambda: read_charades(tmp_path))


def test_activitynet(tmp_path: Path) -> None:
    timelines = read_activitynet_timelines(make_activitynet(tmp_path))
    assert timelines.classes == ("Beach soccer", "Fixing bicycle")
    assert [(video.id, video.split, len(video.intervals), video.duration_s) for video in timelines.videos] == [
        ("videos/v_sJFgo9H6zNo.mp4", "train", 2, 1.0),
        ("videos/v_V1zhqaGFY2A.mp4", "train", 1, 1.0),
        ("videos/v_JDg--pjY5gg.mp4", "val", 1, 1.0),
        ("videos/v_8jK-f2VNBqk.mp4", "test", 0, 1.0),
    ]
    assert timelines.left_out == ("V1zhqaGFY2A: 0.5 to 0.5 s has no length", "JDg--pjY5gg: 0 to 1 s is there twice")
    clips = read_activitynet(tmp_path)
    assert rows(clips) == [
        ("videos/v_sJFgo9H6zNo.mp4@0-0.4", (1,), "sJFgo9H6zNo", "train"),
        ("videos/v_sJFgo9H6zNo.mp4@0.5-1", (1,), "sJFgo9H6zNo", "train"),
        ("videos/v_V1zhqaGFY2A.mp4@0.1-0.9", (0,), "V1zhqaGFY2A", "train"),
        ("videos/v_JDg--pjY5gg.mp4@0-1", (0,), "JDg--pjY5gg", "val"),
    ]
    assert clips.split_rule.endswith("; 2 segments are left out (V1zhqaGFY2A: 0.5 to 0.5 s has no length)")
    assert (clips.clips[1].start_s, clips.clips[1].end_s) == (0.5, 1)


def test_activitynet_as_mmaction2_writes_it(tmp_path: Path) -> None:
    database = {"v_test1": {"duration_second": 1, "annotations": [{"segment": [0.3, 0.6], "label": "Rock climbing"}]}}
    put_text(put_videos(tmp_path, ["v_test1.mp4"]), {"anet_anno_val.json": json.dumps(database)})
    (video,) = read_activitynet_timelines(tmp_path, annotations=tmp_path / "anet_anno_val.json").videos
    assert (video.split, video.duration_s, video.intervals) == (
        "val",
        1,
        (LabelledInterval(0.3, 0.6, "Rock climbing"),),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"training"', '"dev"', "video sJFgo9H6zNo: subset is 'dev'; allowed: training, validation or testing"),
        ("[0, 0.4]", "[0]", "'label': 'Fixing bicycle'} has no segment; allowed: [begin, end]"),
        ("[0, 0.4]", '["x", 1]', "segment is 'x'; allowed: a finite number"),
        ("[0, 0.4]", "[-1, 0.4]", "a segment begins at -1 s; allowed: 0 (the beginning of the video) or more"),
        ('"Fixing bicycle"', "7", "the label is 7; allowed: the name of a class"),
        ("[0, 0.4]", "[0.5, 1]", None),
        ('"database"', '"data"', "is no object with a list of annotations"),
        ('"V1zhqaGFY2A"', '"sJFgo9H6zNo"', "'sJFgo9H6zNo' is there twice in one object"),
        ('"8jK-f2VNBqk"', '"gone"', "1 of 4 videos that are listed are not there: gone"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_activitynet(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    edit(make_activitynet(tmp_path) / "activity_net.v1-3.min.json", old, new)
    if said is None:  # the same segment twice with one label is one segment
        assert len(read_activitynet(tmp_path)) == 3
    else:
        assert said in said_of(lambda: read_activitynet(tmp_path))


def test_two_labels_of_one_segment_are_no_clip(tmp_path: Path) -> None:
    path = make_activitynet(tmp_path) / "activity_net.v1-3.min.json"
    edit(path, '[0.5, 1], "label": "Fixing bicycle"', '[0, 0.4], "label": "Beach soccer"')
    assert (
        "sJFgo9H6zNo.mp4@0-0.4 is labelled 'Beach soccer' and 'Fixing bicycle'; a clip has one label here"
        in said_of(lambda: read_activitynet(tmp_path))
    )
    assert len(read_activitynet_timelines(tmp_path).videos[0].intervals) == 2


def test_ava(tmp_path: Path) -> None:
    found = read_ava(make_ava(tmp_path))
    assert found.classes == ("bend/bow (at the waist)", "sit", "watch (a person)") and found.class_ids == (1, 11, 80)
    assert [(frame.video_id, frame.time_s, frame.split, len(frame.people)) for frame in found.frames] == [
        ("-5KQ66BBWC4", 902, "train", 2),
        ("0f39OWEqJ24", 903, "val", 1),
    ]
    first, second = found.frames[0].people
    assert (first.labels, first.person_id, first.box) == ((1, 2), "1", (0.077, 0.151, 0.283, 0.811))
    assert (second.labels, second.person_id) == ((1,), "0")
    assert found.excluded == (("-5KQ66BBWC4", 904.0),)
    assert found.frames[0].path == tmp_path / "videos" / "-5KQ66BBWC4.mkv"
    assert [frame.time_s for frame in read_ava(tmp_path, video_begins_at_s=900).frames] == [2, 3]


def test_ava_without_videos_with_a_csv_of_actions_and_rows_beyond_it(tmp_path: Path) -> None:
    make_ava(tmp_path)
    shutil.rmtree(tmp_path / "videos")
    next((tmp_path / "annotations").glob("*.pbtxt")).unlink()
    put_text(
        tmp_path,
        {"annotations/ava_action_list_v2.2.csv": "label_id,label_name,label_type\n11,sit,PERSON_MOVEMENT\n1,bend,X\n"},
    )
    found = read_ava(tmp_path, with_videos=False)
    assert found.classes == ("bend", "sit") and found.unlisted_actions == (80,)
    assert found.frames[0].people[0].labels == (1,) and found.frames[0].path is None
    assert "there is no video in it" in said_of(lambda: read_ava(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.283,0.811,80,1", "0.283,0.811", "line 1: has 6 values; allowed: video,second,x0,y0,x1,y1,action,person"),
        ("0.283", "0.05", "line 1: the box is 0.077,0.151,0.05,0.811; allowed: 0 <= x0 < x1 <= 1"),
        ("0.283", "1.5", "allowed: 0 <= x0 < x1 <= 1"),
        ("0902", "soon", "line 1: the second is 'soon'"),
        (",80,", ",sit,", "line 1: the action is 'sit'; allowed: a number of the list of actions, or nothing"),
        ("-5KQ66BBWC4,0902", "gone,0902", "1 of 3 videos that are listed are not there: gone"),
    ],
)  # fmt: skip
def test_a_wrong_row_of_ava(tmp_path: Path, old: str, new: str, said: str) -> None:
    edit(make_ava(tmp_path) / "annotations" / "ava_train_v2.2.csv", old, new)
    assert said in said_of(lambda: read_ava(tmp_path))


def test_ava_of_two_releases(tmp_path: Path) -> None:
    make_ava(tmp_path)
    assert "the second is 902, before the files begin (1000)" in said_of(
        lambda: read_ava(tmp_path, video_begins_at_s=1000)
    )
    actions = next((tmp_path / "annotations").glob("*.pbtxt"))
    actions.write_text('item {\n name: "a"\n id: 70\n}\n')
    assert "no row has an action of the list; are rows and list of one release?" in said_of(lambda: read_ava(tmp_path))
    actions.write_text('item {\n name: "a"\n}\n')
    assert 'allowed: item { name: "sit" id: 11 }' in said_of(lambda: read_ava(tmp_path))
    put_text(tmp_path, {"annotations/ava_train_v2.1.csv": ""})
    actions.write_text('item {\n name: "a"\n id: 11\n}\n')
    assert "several files are called ava_train_v*.csv: ava_train_v2.1.csv, ava_train_v2.2.csv" in said_of(
        lambda: read_ava(tmp_path)
    )


def test_mmaction2(tmp_path: Path) -> None:
    clips = read_mmaction2(make_mmaction2(tmp_path))
    assert clips.classes == ("run", "walk") and not clips.is_multi_label
    assert rows(clips) == [
        ("videos_train/walk/a.mp4", (1,), "videos_train/walk/a.mp4", "train"),
        ("videos_train/run/b.mp4", (0,), "videos_train/run/b.mp4", "train"),
        ("videos_val/walk/c.mp4", (1,), "videos_val/walk/c.mp4", "val"),
    ]
    (tmp_path / "annotations" / "label_map.txt").unlink()
    assert read_mmaction2(tmp_path).classes == ("0", "1")


def test_mmaction2_one_list_with_several_labels_commas_blanks_and_folds(tmp_path: Path) -> None:
    put_videos(tmp_path, ["my clip.mp4", "b.mp4", "c.mp4"])
    put_text(tmp_path, {"all.txt": "my clip.mp4 0 2\nb.mp4 1\n", "plain.txt": f"{tmp_path}/c.mp4,0\nb.mp4,1\n"})
    several = read_mmaction2(tmp_path / "all.txt")
    assert several.is_multi_label and [clip.labels for clip in several.clips] == [(0, 2), (1,)]
    assert rows(read_mmaction2(tmp_path / "plain.txt")) == [
        ("c.mp4", (0,), "c.mp4", None),
        ("b.mp4", (1,), "b.mp4", None),
    ]
    put_text(tmp_path, {"x_train_split_1_videos.txt": "b.mp4 0\n", "x_train_split_2_videos.txt": "c.mp4 0\n"})
    assert [clip.id for clip in read_mmaction2(tmp_path, fold=2).clips] == ["c.mp4"]
    assert "no list of MMAction2 is there: looked for *train*videos.txt and the like (fold 3)" in said_of(
        lambda: read_mmaction2(tmp_path, fold=3)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "walk/a 120 1\n",
            "line 1: 'walk/a' has no ending of a video; allowed: a video and its label. Lists of folders with",
        ),
        ("walk/a.mp4\n", "line 1: 'walk/a.mp4' has no label; allowed: a video and its number, counted from 0"),
        ("walk/a.mp4 2\n", "the label is 2; allowed: 0 to 1"),
        ("walk/a.mp4 -1\n", "the label is '-1'; allowed: the name of a class, or its number counted from 0"),
        (
            "walk/a.mp4 1\nwalk/a.mp4 0\n",
            "line 2: walk/a.mp4 is in mini_train_list_videos.txt, line 1 already; keep one",
        ),
        ("walk/z.mp4 1\nwalk/a.mp4 0\n", "1 of 3 videos that are listed are not there: walk/z.mp4; bring"),
        ("", "is empty; give a file of annotations"),
    ],
)
def test_a_wrong_list_of_mmaction2(tmp_path: Path, text: str, said: str) -> None:
    (make_mmaction2(tmp_path) / "mini_train_list_videos.txt").write_text(text)
    assert said in said_of(lambda: read_mmaction2(tmp_path))
