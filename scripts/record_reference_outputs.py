"""Records what the reference implementations of MViT, R(2+1)D, R3D and X3D answer, with weights that come from seeds.

The tests of `tubelet.models` compare with the file that this writes, so they need neither package. It is run once for
each new version of a reference, in an environment of its own (never in tubelet's):

    python3 -m venv reference && reference/bin/pip install torch==2.13.0 numpy
    reference/bin/pip install --no-deps torchvision==0.28.0 pytorchvideo==0.1.5 fvcore==0.1.5.post20221221 iopath
    reference/bin/pip install pillow parameterized networkx yacs pyyaml tqdm termcolor tabulate portalocker
    reference/bin/python scripts/record_reference_outputs.py

The list of names and shapes of each network is kept as a checksum.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from recorded_networks import RECORD, made_up_clip, state_checksum  # noqa: E402
from seeded_weights import seeded_state  # noqa: E402

# The wheel of torchvision names its commit. That of pytorchvideo names none: at this one, of its release day, the files
# of these networks are the same to the byte.
REFERENCES = {
    "torchvision": {"licence": "BSD-3-Clause", "commit": "8fb87713a24951e639c494b0f2a8a81b5f8e33a6"},
    "pytorchvideo": {"licence": "Apache-2.0", "commit": "874d27cb55b9d7e9df6cd0881e2d7fe9f262532b"},
}


def import_references() -> torch.library.Library | None:
    """Imports both packages; raises ModuleNotFoundError where one is not installed.

    Where torchvision's compiled part cannot load (a wheel made for CUDA beside a torch without it), two operators that
    none of these networks uses are declared in its place.

    Returns:
        What must be kept alive while the packages are used.
    """
    library = None
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in ("torchvision.models.video", "pytorchvideo.models.hub"):
        importlib.import_module(name)
    return library


def reference_networks() -> dict[str, tuple[str, Callable[[], torch.nn.Module], tuple[int, int]]]:
    """By our names: package, maker, and (frames, pixels) of the clip."""
    from pytorchvideo.models import hub
    from torchvision.models import video

    return {
        "mvit_b_16x4": ("torchvision", video.mvit_v1_b, (16, 224)),
        "mvit_v2_s": ("torchvision", video.mvit_v2_s, (16, 224)),
        "r2plus1d_18": ("torchvision", video.r2plus1d_18, (8, 112)),
        "r3d_18": ("torchvision", video.r3d_18, (8, 112)),
        # Without the softmax that the published network applies in itself.
        "x3d_xs": ("pytorchvideo", lambda: hub.x3d_xs(head_activation=None), (4, 160)),
        "x3d_s": ("pytorchvideo", lambda: hub.x3d_s(head_activation=None), (13, 160)),
        "x3d_m": ("pytorchvideo", lambda: hub.x3d_m(head_activation=None), (16, 224)),
    }


def main() -> None:
    """Writes the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--record", type=Path, default=RECORD)
    arguments = parser.parse_args()
    library = import_references()
    networks = {}
    for name, (package, make, (num_frames, size_px)) in reference_networks().items():
        network = make().eval()
        state = network.state_dict()
        network.load_state_dict(seeded_state(state))
        with torch.inference_mode():
            logits = network(made_up_clip(num_frames, size_px))[0]
        networks[name] = {
            "package": package,
            "num_frames": num_frames,
            "size_px": size_px,
            "num_entries": len(state),
            "state_checksum": state_checksum(state),
            "logits": [float(f"{value:.8g}") for value in logits.tolist()],
        }
        print(f"{name}: {len(state)} entries, logits from {logits.min():.3f} to {logits.max():.3f}")
    del library  # kept alive until here
    versions = {name: importlib.metadata.version(name) for name in REFERENCES}
    record = {
        "schema": "tubelet.recorded_networks/1",
        "script": "scripts/record_reference_outputs.py",
        "torch": importlib.metadata.version("torch"),
        "references": {name: {"version": versions[name], **facts} for name, facts in REFERENCES.items()},
        "networks": networks,
    }
    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    arguments.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record: {arguments.record}")


if __name__ == "__main__":
    main()
