"""Every dataset format in its real layout with a handful of tiny generated videos, made in a moment."""

from __future__ import annotations

import json
import pickle
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from media import make_video


@cache
def tiny_video(seed: int = 0) -> bytes:
    """A video of 12 pictures of 48×32 at 12 frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        return make_video(Path(folder) / "tiny.mp4", width=48, height=32, num_frames=12, fps=12, seed=seed).read_bytes()


def put_videos(root: Path, names: Iterable[str]) -> Path:
    """Put the tiny video there under each of these names, whatever their endings say."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny_video())
    return root


def put_text(root: Path, files: Mapping[str, str]) -> Path:
    """Write text files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def make_folder(root: Path, classes: Iterable[str] = ("run", "walk"), clips_per_class: int = 6) -> Path:
    """`CLASS/p0.mp4`, each file its own group."""
    return put_videos(root, [f"{name}/{name[0]}{n}.mp4" for name in classes for n in range(clips_per_class)])


def make_split_folder(root: Path) -> Path:
    """`{train,val,test}/CLASS/*.mp4`."""
    return put_videos(
        root, [f"{split}/{name}/{split}{n}.mp4" for split in ("train", "val", "test") for name in "ab" for n in (0, 1)]
    )


def make_manifest(root: Path) -> Path:
    """`manifest.csv` with spans, splits and groups; gives the file."""
    put_videos(root, ["videos/a.mp4", "videos/b.mp4", "videos/c.mp4"])
    rows = [
        "path,label,start_s,end_s,split,group",
        "videos/a.mp4,walk,0,0.5,train,ann",
        "videos/a.mp4,run,0.5,1,train,ann",
        "videos/b.mp4,run,,,val,bob",
        "videos/c.mp4,walk,0.25,,test,cleo",
    ]
    put_text(root, {"manifest.csv": "\n".join(rows) + "\n"})
    return root / "manifest.csv"


def make_ucf101(root: Path) -> Path:
    """Two classes, three groups of two clips; fold 1 tests group 1, fold 2 group 2."""
    classes = ("ApplyEyeMakeup", "YoYo")
    names = [f"{c}/v_{c}_g{g:02d}_c{n:02d}.avi" for c in classes for g in (1, 2, 3) for n in (1, 2)]
    put_videos(root, [f"UCF-101/{name}" for name in names])
    lists = {"classInd.txt": "1 ApplyEyeMakeup\r\n2 YoYo\r\n"}
    for fold in (1, 2, 3):
        tested = [name for name in names if f"_g{fold:02d}_" in name]
        lists[f"testlist{fold:02d}.txt"] = "".join(f"{name}\n" for name in tested)
        lists[f"trainlist{fold:02d}.txt"] = "".join(
            f"{name} {classes.index(name.split('/')[0]) + 1}\n" for name in names if name not in tested
        )
    return put_text(root, {f"ucfTrainTestlist/{name}": text for name, text in lists.items()})


def make_hmdb51(root: Path) -> Path:
    """Two classes with four clips: two for training, one for the test, one in neither part."""
    clips = {
        "brush_hair": [
            ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", 1),
            ("April_09_brush_hair_u_nm_np1_ba_goo_1.avi", 1),
            ("Prelinger_HabitPat1954_brush_hair_h_nm_np1_fr_med_26.avi", 2),
            ("#20_Rhythm_clap_brush_hair_u_cm_np1_fr_bad_2.avi", 0),
        ],
        "climb_stairs": [
            ("April_09_climb_stairs_f_cm_np1_ba_med_0.avi", 1),
            ("Crash_climb_stairs_f_cm_np1_fr_med_1.avi", 1),
            ("BIG_FISH_climb_stairs_l_cm_np2_le_goo_3.avi", 2),
            ("BIG_FISH_climb_stairs_l_cm_np2_le_goo_4.avi", 0),
        ],
    }
    put_videos(root, [f"videos/{c}/{name}" for c, lines in clips.items() for name, _ in lines])
    folder = "testTrainMulti_7030_splits"
    for fold in (1, 2, 3):
        put_text(
            root,
            {
                f"{folder}/{c}_test_split{fold}.txt": "".join(f"{name} {number} \n" for name, number in lines)
                for c, lines in clips.items()
            },
        )
    return root


KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


def make_kinetics(root: Path, *, flat: bool = False) -> Path:
    """Three splits, the test without labels; in class folders with underscores, or flat."""
    rows = {
        "train": ["abseiling,0wR5jVB-WPk,417,427,train", '"air drumming",-3VbfDkJ1FM,2,12,train'],
        "validate": ["abseiling,3caPS4FHFF8,36,46,validate", '"air drumming",d3VbfDkJ1FM,102,112,validate'],
    }
    put_text(root, {f"annotations/{name}.csv": KINETICS_HEADER + "\n".join(lines) for name, lines in rows.items()})
    put_text(root, {"annotations/test.csv": "youtube_id,time_start,time_end,split\nzzR5jVB-WPk,0,10,test\n"})
    names = {
        "videos_train/abseiling/0wR5jVB-WPk_000417_000427.mp4",
        "videos_train/air_drumming/-3VbfDkJ1FM_000002_000012.mp4",
        "videos_val/abseiling/3caPS4FHFF8_000036_000046.mp4",
        "videos_val/air_drumming/d3VbfDkJ1FM.webm",
        "test/zzR5jVB-WPk_000000_000010.mp4",
    }
    return put_videos(
        root, ["/".join(name.split("/")[:: len(name.split("/")) - 1]) if flat else name for name in names]
    )


def make_something_v2(root: Path) -> Path:
    """Two templates, one of them with words beyond the placeholder."""
    labels = {"Holding something next to something": "0", "Putting something similar to other things": "1"}
    items = {
        "train": [
            ("78687", "Holding [something] next to [something]"),
            ("42326", "Putting [something similar to other things]"),
        ],
        "validation": [("74225", "Holding [something] next to [something]")],
    }
    put_videos(root, [f"20bn-something-something-v2/{n}.webm" for n in ("78687", "42326", "74225", "1420")])
    files = {"labels/labels.json": json.dumps(labels), "labels/test.json": json.dumps([{"id": "1420"}])}
    for name, videos in items.items():
        files[f"labels/{name}.json"] = json.dumps(
            [{"id": i, "label": "holding it", "template": t, "placeholders": ["it"]} for i, t in videos]
        )
    return put_text(root, files)


def make_diving48(root: Path) -> Path:
    """Two dives of one competition for training, one of another for the test."""

    def item(name: str, label: int) -> dict[str, object]:
        return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 11}

    put_videos(root, [f"rgb/{name}.mp4" for name in ("_8Vy3dlHg2w_00000", "_8Vy3dlHg2w_00001", "-mmq0PT-u8k_00155")])
    train = [item("_8Vy3dlHg2w_00000", 0), item("_8Vy3dlHg2w_00001", 1)]
    return put_text(
        root,
        {
            "Diving48_V2_train.json": json.dumps(train),
            "Diving48_V2_test.json": json.dumps([item("-mmq0PT-u8k_00155", 1)]),
            "Diving48_vocab.json": json.dumps(
                [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "NoTwis", "PIKE"]]
            ),
        },
    )


def make_charades(root: Path) -> Path:
    """Three videos: with two actions, with none, and with one of no length beside a good one."""
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    put_videos(root, [f"Charades_v1_480/{name}.mp4" for name in ("46GP8", "N11GT", "YSKX3")])
    return put_text(
        root,
        {
            "Charades/Charades_v1_classes.txt": "c000 Holding some clothes\nc092 Pouring something into a cup\n",
            "Charades/Charades_v1_train.csv": header
            + '46GP8,HR43,Kitchen,6,7,Yes,"A person cooks, and stirs.",food,a;b,c092 0.20 0.90;c000 0.00 0.60,1.00\n'
            + "N11GT,0KZ7,Garage,5,6,Yes,Walks.,floor,c,,1.00\n",
            "Charades/Charades_v1_test.csv": header
            + "YSKX3,F0ZT,Bedroom,5,6,No,Folds.,cloth,d,c000 0.10 0.50;c092 0.70 0.70,1.00\n",
        },
    )


def make_activitynet(root: Path) -> Path:
    """Three annotated videos, one in testing without annotations, and segments of the kind that releases have wrong."""

    def video(subset: str, *segments: tuple[float, float, str]) -> dict[str, object]:
        return {
            "duration": 1.0,
            "subset": subset,
            "resolution": "48x32",
            "url": "https://www.youtube.com/watch?v=x",
            "annotations": [{"segment": [a, b], "label": label} for a, b, label in segments],
        }

    database = {
        "sJFgo9H6zNo": video("training", (0, 0.4, "Fixing bicycle"), (0.5, 1, "Fixing bicycle")),
        "V1zhqaGFY2A": video("training", (0.1, 0.9, "Beach soccer"), (0.5, 0.5, "Beach soccer")),
        "JDg--pjY5gg": video("validation", (0, 1, "Beach soccer"), (0, 1, "Beach soccer")),
        "8jK-f2VNBqk": video("testing"),
    }
    put_videos(root, [f"videos/v_{name}.mp4" for name in database])
    taxonomy = [{"parentName": "Root", "nodeName": "Sports", "nodeId": 1, "parentId": 0}]
    whole = {"version": "VERSION 1.3", "taxonomy": taxonomy, "database": database}
    return put_text(root, {"activity_net.v1-3.min.json": json.dumps(whole)})


def make_ava(root: Path) -> Path:
    """Two videos; two people at one moment, one of them with two actions; one moment excluded."""
    put_videos(root, ["videos/-5KQ66BBWC4.mkv", "videos/0f39OWEqJ24.mp4"])
    item = 'item {{\n  name: "{}"\n  id: {}\n}}\n'
    return put_text(
        root,
        {
            "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt": item.format("bend/bow (at the waist)", 1)
            + item.format("sit", 11)
            + item.format("watch (a person)", 80),
            "annotations/ava_train_v2.2.csv": "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n"
            "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,11,1\n"
            "-5KQ66BBWC4,0902,0.332,0.194,0.481,0.891,11,0\n"
            "-5KQ66BBWC4,0904,0.332,0.194,0.481,0.891,1,0\n",
            "annotations/ava_val_v2.2.csv": "0f39OWEqJ24,0903,0.031,0.162,0.670,0.995,1,7\n",
            "annotations/ava_train_excluded_timestamps_v2.2.csv": "-5KQ66BBWC4,0904\n",
        },
    )


def make_mmaction2(root: Path) -> Path:
    """Lists for train and val with videos in `videos_train` and `videos_val`, and the names of the classes."""
    put_videos(root, ["videos_train/walk/a.mp4", "videos_train/run/b.mp4", "videos_val/walk/c.mp4"])
    return put_text(
        root,
        {
            "mini_train_list_videos.txt": "walk/a.mp4 1\nrun/b.mp4 0\n",
            "mini_val_list_videos.txt": "walk/c.mp4 1\n",
            "annotations/label_map.txt": "run\nwalk\n",
        },
    )


def skeleton_text(num_frames: int, body_ids: Iterable[str] = ("72057594037931101",), seed: int = 0) -> str:
    """A `.skeleton` file: bodies that are in every frame, but the second only in the first half."""
    rng = np.random.default_rng(seed)
    bodies = tuple(body_ids)
    lines = [str(num_frames)]
    for frame in range(num_frames):
        seen = bodies if 2 * frame < num_frames else bodies[:1]
        lines.append(str(len(seen)))
        for number, body in enumerate(seen):
            lines += [f"{body} 0 1 1 1 1 0 {rng.normal():.6f} {rng.normal():.6f} 2", "25"]
            for joint in range(25):
                x, y, z = 0.1 * frame * (1 + number), joint / 25, 3.0
                rest = " ".join(f"{value:.6f}" for value in rng.normal(size=8))
                lines.append(f"{x:.6f} {y:.6f} {z:.6f} {rest} {1 if joint == 24 else 2}")
    return "\n".join(lines) + "\n"


def make_ntu_rgbd(root: Path) -> Path:
    """Four samples: subjects 1 (train) and 3 (test), cameras 1 (test by view) and 2, and one that is to be left out."""
    names = {
        "S001C002P001R001A001": ("72057594037931101",),
        "S001C001P001R001A001": ("72057594037931101",),
        "S001C002P003R002A050": ("72057594037931101", "72057594037931102"),
        "S001C002P006R001A008": ("72057594037931103",),
    }
    text = {
        f"nturgb+d_skeletons/{n}.skeleton": skeleton_text(8, ids, seed) for seed, (n, ids) in enumerate(names.items())
    }
    missing = "302 samples have missing skeleton data.\nIgnore these files.\n\nS001C002P006R001A008\n"
    return put_text(root, text | {"NTU_RGBD_samples_with_missing_skeletons.txt": missing})


def pose_annotations(num: int = 4) -> dict[str, object]:
    """What MMAction2 keeps in a pose pickle: 2D keypoints of one or two people with scores."""
    rng = np.random.default_rng(0)
    annotations = [
        {
            "frame_dir": f"v_Walk_g{n + 1:02d}_c01",
            "label": n % 2,
            "img_shape": (32, 48),
            "original_shape": (32, 48),
            "total_frames": 5 + n,
            "keypoint": rng.uniform(0, 48, (1 + n % 2, 5 + n, 17, 2)).astype(np.float16),
            "keypoint_score": rng.uniform(0, 1, (1 + n % 2, 5 + n, 17)).astype(np.float16),
        }
        for n in range(num)
    ]
    names = [str(each["frame_dir"]) for each in annotations]
    return {
        "split": {"train1": names[:3], "test1": names[3:], "train2": names[1:], "test2": names[:1]},
        "annotations": annotations,
    }


def private_bits(name: str, count: int = 5) -> list[int]:
    """Private attributes of a video, made out of its name without folder and ending."""
    return [zlib.crc32(f"{name.rpartition('/')[2].rpartition('.')[0]} {bit}".encode()) & 1 for bit in range(count)]


def put_vp_labels(path: Path, names: Iterable[str]) -> Path:
    """The pickle of VP-UCF101 and VP-HMDB51: `Class/video.mp4` with a (1, 5) array, in no order."""
    names = sorted(names, key=lambda name: zlib.crc32(name.encode()))
    content = {f"{n.rpartition('.')[0]}.mp4": np.array([private_bits(n)], dtype=np.int64) for n in names}
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def make_vp_ucf101(root: Path) -> Path:
    """UCF-101 as `make_ucf101` with the label file, which is given back."""
    make_ucf101(root)
    lists = (root / "ucfTrainTestlist" / "trainlist01.txt", root / "ucfTrainTestlist" / "testlist01.txt")
    names = [line.split(" ")[0] for path in lists for line in path.read_text().splitlines()]
    return put_vp_labels(root / "ucf101_privacy_attribute_label.pickle", names)


def make_vp_hmdb51(root: Path) -> Path:
    """HMDB51 as `make_hmdb51` with the label file, which is given back; clips in neither part have labels too."""
    make_hmdb51(root)
    names = [path.relative_to(root / "videos").as_posix() for path in (root / "videos").rglob("*.avi")]
    return put_vp_labels(root / "hmdb51_privacy_attribute_label.pickle", names)


def make_pa_hmdb51(root: Path) -> Path:
    """HMDB51 as `make_hmdb51`, and the folder of labels for some of its clips, which is given back."""
    make_hmdb51(root)

    def video(face: object, gender: object, **more: object) -> dict[str, object]:
        constant = {"skin_color": [[0, 9, 1]], "nudity": [[0, 9, 0]], "relationship": [[0, 9, 0]]}
        return {"face": face, "gender": gender, **constant, **more, "review": False, "note": ""}

    files = {
        "brush_hair": {
            "April_09_brush_hair_u_nm_np1_ba_goo_0.avi": video([[0, 5, 2], [6, 9, 0]], [[0, 9, [1, 2]]]),
            "Prelinger_HabitPat1954_brush_hair_h_nm_np1_fr_med_26.avi": video([[0, 4, 1], [5, 9, 0]], [[0, 9, 2]]),
        },
        "climb_stairs": {
            "Crash_climb_stairs_f_cm_np1_fr_med_1.avi": video([[2, 4, 0], [4, 4, 1]], [[0, 9, [0, 1]]], nudity=[]),
            "BIG_FISH_climb_stairs_l_cm_np2_le_goo_3.avi": video([[0, 9, 1]], [[0, 9, 0]], relationship=[[0, 9, 1]]),
            "BIG_FISH_climb_stairs_l_cm_np2_le_goo_4.avi": video([[0, 9, 1]], [[0, 9, 0]]),
        },
    }
    put_text(root, {f"PrivacyAttributes/{name}.json": json.dumps(videos, indent=4) for name, videos in files.items()})
    return root / "PrivacyAttributes"


VISPR_SHOWN = {
    "train2017/2017_10000001": ["a4_gender", "a9_face_complete", "a17_color"],
    "train2017/2017_10000002": ["a0_safe"],
    "train2017/2017_10000003": ["a10_face_partial", "a12_semi_nudity", "a64_rel_personal", "a65_rel_social"],
    "test2017/2017_10000004": ["a4_gender", "a10_face_partial", "a12_semi_nudity", "a17_color", "a64_rel_personal"],
    "test2017/2017_10000005": ["a9_face_complete", "a65_rel_social", "a73_landmark"],
}


def make_vispr(root: Path, *, labels: str = "pkl") -> Path:
    """Five empty files for pictures with labels: of TeD-SPAD ("pkl", "json"), or a JSON file for each ("each")."""
    seven = (
        *("a17_color", "a4_gender", "a9_face_complete", "a10_face_partial", "a12_semi_nudity"),
        *("a64_rel_personal", "a65_rel_social"),
    )
    put_text(root, {f"{name}.jpg": "" for name in VISPR_SHOWN})
    if labels == "each":
        notes = {
            f"annotations/{name}.json": json.dumps({"id": name, "image_path": f"images/{name}.jpg", "labels": shown})
            for name, shown in VISPR_SHOWN.items()
        }
        return put_text(root, notes)
    for split in ("train", "test"):
        rows = {
            name.partition("/")[2]: np.array([float(each in shown) for each in seven])
            for name, shown in reversed(VISPR_SHOWN.items())
            if name.startswith(split)
        }
        path = root / f"{split}_labels.{labels}"
        if labels == "pkl":
            path.write_bytes(pickle.dumps(rows, protocol=4))
        else:
            path.write_text(json.dumps({name: row.tolist() for name, row in rows.items()}))
    return root
