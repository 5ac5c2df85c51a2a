"""Writes the measured numbers into the READMEs, the docs and the model card, out of reports and claims on disk.

    python scripts/render_numbers.py           # fills in every place
    python scripts/render_numbers.py --check   # exit 1 if a page says something else than the reports

A place is what stands between `<!-- numbers: NAME -->` and `<!-- /numbers -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from anonymization_tables import RENDERERS as ANONYMIZATION
from claim_tables import METHODS, claim_renderers
from report_tables import REPORTS, ROOT, load, share, table
from token_pruning_tables import RENDERERS as TOKEN_PRUNING
from training_tables import RENDERERS as TRAINING

from tubelet.methods.recognition.model_card import load_card

EVIDENCE = METHODS / "recognition" / "weights" / "evidence.json"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(METHODS.glob("*/README.md")))
_PLACE = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- /numbers -->)", re.DOTALL)


def real_footage() -> str:
    """Both detectors on the labelled real clips."""
    reports = [load("real_oidv4")["metrics"], load("real_ssdlite")["metrics"]]
    names = {
        "street_test/box_recall": "street: hand-drawn boxes that are tracked (IoU 0.4)",
        "street_test/false_boxes": "street: boxes on nobody",
        "street_test/labelled_time": "street: tracked time that gets a label",
        "street_test/accuracy_of_labelled": "street: labels that are right (walk or stand)",
        "street_test/walk_found": "street: walkers called walk",
        "street_test/stand_found": "street: people standing called stand",
        "street_standing/stand_found": "street, moments chosen because people stand: called stand",
        "street_test/always_walk_baseline": "street: what always saying walk would score",
        "demo/accuracy": "demo clip: time with the right answer",
        "demo/accuracy_decided": "demo clip: the same, of the time that gets a label",
        "demo/coverage": "demo clip: time that gets a label",
        "demo/box_recall": "demo clip: hand-drawn boxes that are tracked",
        "beam/accuracy": "beam clips: time with the right answer (abstaining, for the gymnast)",
        "beam/box_recall": "beam clips: hand-drawn boxes that are tracked",
    }
    rows = [[text, *(share(report.get(key)) for report in reports)] for key, text in names.items()]
    for group in ("demo", "beam"):
        for key, text in (
            ("identity_switches", "identity switches"),
            ("false_tracks", "tracks on nobody"),
            ("missed_people", "people missed"),
        ):
            cells = [
                f"{metric['value']:.0f} of {metric['n']}"
                if (metric := report.get(f"{group}/{key}"))
                else "not measured"
                for report in reports
            ]
            rows.append([f"{group} clip{'s' if group == 'beam' else ''}: {text}", *cells])
    return table(["measured", "oidv4", "ssdlite"], rows)


def evidence() -> str:
    """What the default model knows, and on what each class rests."""
    card = load_card()
    seen, held = load("mocap_skeleton")["details"], load("mocap_skeleton_held_out")["details"]
    rows = [
        [
            f"`{label}`",
            card["evidence"][label],
            f"{100 * seen['classes'][label]['recall']:.0f} %",
            f"{100 * held['classes'][label]['recall']:.0f} %",
            held["hold_out"][label],
        ]
        for label in card["labels"]
    ]
    head = ["label", "evidence", "found, clips of training", "found, held out", "what was held out"]
    return table(head, rows)


def synthetic() -> str:
    """The action model on synthetic people, with and without what was held out."""
    reports = [load("mocap_skeleton")["metrics"], load("mocap_skeleton_held_out")["metrics"]]
    names = {
        "frame_accuracy": "moments with the right label, abstaining left aside",
        "coverage": "moments that get a label",
        "frame_accuracy_decided": "the same, right among these",
        "expected_calibration_error": "expected calibration error",
    }
    rows = [[text, *(share(report[key]) for report in reports)] for key, text in names.items()]
    return table(["synthetic people", "clips of training, new bodies and cameras", "held out"], rows)


def real_evidence() -> str:
    """The file beside the weights that says what real footage showed of each class; the model card quotes it."""
    report = load("real_oidv4")
    said: dict[str, list[str]] = {}
    for label in ("walk", "stand"):
        metric = report["metrics"][f"street_test/{label}_found"]
        said[label] = [f"{metric['n']} labelled moments of one street, {100 * metric['value']:.0f} % of them found"]
    for true, answers in report["details"]["demo_confusion_s"].items():
        total_s = sum(answers.values())
        said.setdefault(true, []).append(f"{total_s:.1f} s of one clip, {answers.get(true, 0.0):.1f} s of them found")
    classes = {label: f"real footage: {'; '.join(texts)}" for label, texts in said.items()}
    digest = json.loads(EVIDENCE.read_text(encoding="utf-8"))["weights_sha256"]
    return json.dumps({"weights_sha256": digest, "classes": classes}, indent=2, ensure_ascii=False) + "\n"


def recognize_speed() -> str:
    """Wall time on the demo clip."""
    report = load("recognize_speed")
    length_s = report["clip"]["length_s"]
    stages = ["decode", "detect", "track", "landmarks", "classify", "draw", "encode"]
    rows = [
        [
            name,
            f"{result['wall_s']:.1f} s",
            f"{result['factor']:.2f}",
            *(f"{result['stages_s'][stage]:.1f}" if stage in result["stages_s"] else "" for stage in stages),
        ]
        for name, result in report["results"].items()
    ]
    cores, rounds = report["machine"]["cores"], report["clip"]["rounds"]
    head = f"Clip of {length_s:.1f} s, 1768 x 994, {cores} cores, median of {rounds}."
    note = "Stages in seconds; they run side by side, so they add up to more than the wall time.\n\n"
    return f"{head} {note}" + table(["", "wall", "x clip", *stages], rows)


def decode_speed() -> str:
    """Sampling frames beside other libraries."""
    report = load("decode")
    rows = []
    for name, case in report["cases"].items():
        median_ms = case["median_ms"]
        rows.append(
            [
                name,
                f"{median_ms['tubelet']:.0f} ms",
                f"{median_ms[case['best_peer']]:.0f} ms ({case['best_peer']})",
                f"{case['speed_against_best_peer']:.2f}",
                "yes" if case["frames_off"]["tubelet"] == 0 else "no",
            ]
        )
    gains = [
        report["targets"][f"long, {how}: speed against full decode"]["value"] for how in ("uniform 16", "dense 32")
    ]
    head = ["frames out of", "tubelet", "best peer", "times as fast", "exactly the frames asked for"]
    note = f"Out of the long file {gains[0]:.0f} and {gains[1]:.0f} times as fast as decoding all of it; "
    note += f"the files change scene every {report['cut_every_s']:g} s.\n\n"
    return note + table(head, rows)


def startup() -> str:
    """Start-up times."""
    results = load("startup")["results"]
    return table(["", "median"], [[f"`{name}`", f"{result['median_s']:.2f} s"] for name, result in results.items()])


def memory() -> str:
    """Peak memory by length of the video."""
    report = load("memory")
    frames = report["video"]["num_frames"]
    rows = [[f"{name}, {frames[name]} frames", f"{peak:.0f} MiB"] for name, peak in report["peak_mib"].items()]
    return table(["video", "peak memory"], rows)


_RECIPES = {
    "fusion": "pictures and body landmarks together",
    "skeleton": "body landmarks, from the shipped model",
    "skeleton_from_nothing": "body landmarks, from nothing",
    "frames": "pictures, frozen image network",
    "frames_from_people": "pictures, from the model of the people set",
    "single_frame": "the middle picture alone",
}


def clip_table(sets: list[str]) -> str:
    """Accuracy of every recipe on the test clips of some sets, with what guessing would get."""
    rows = []
    for recipe, said in _RECIPES.items():
        cells = []
        for name in sets:
            path = REPORTS / f"clips_{name}_{recipe}.json"
            cells.append(share(load(path.stem)["metrics"]["top1"]) if path.exists() else "")
        if any(cells):
            rows.append([said, *cells])
    metrics = {name: load(f"clips_{name}_frames")["metrics"] for name in sets}
    for metric, said in (("majority_class", "always the most frequent class"), ("chance", "chance")):
        rows.append([said, *(share({**metrics[name][metric], "low": None}) for name in sets)])
    return table(["right, of the test clips", *sets], rows)


def verdicts(sets: list[str]) -> str:
    """What the paired tests say, in their own words."""
    lines = []
    for name in sets:
        for path in sorted(REPORTS.glob(f"clips_{name}_*_against_*.json")):
            lines.append(f"- {name}: {load(path.stem)['details']['verdict']}")
    return "\n" + "\n".join(lines) + "\n"


def clip_sets() -> str:
    """The drawn sets."""
    return clip_table(["people", "glyphs"]) + verdicts(["people", "glyphs"])


def clip_real() -> str:
    """The clips cut out of real footage: right over all, and found of each class."""
    text = clip_table(["real"]) + "\n"
    recipes = [name for name in _RECIPES if (REPORTS / f"clips_real_{name}.json").exists()]
    details = {name: load(f"clips_real_{name}")["details"]["per_class"] for name in recipes}
    rows = []
    for place, first in enumerate(details[recipes[0]]):
        found = [details[name][place]["recall"] for name in recipes]
        rows.append([f"{first['class']} ({first['num_clips']} clips)", *(share(metric) for metric in found)])
    return text + table(["found of each class", *(_RECIPES[name] for name in recipes)], rows) + verdicts(["real"])


def network_speed() -> str:
    """Networks beside the reference implementations, with the same weights."""
    report = load("backbones")
    rows = []
    for name, case in report["cases"].items():
        ours, theirs = (f"{case['median_ms'][who]:.0f} ms" for who in ("tubelet", "reference"))
        spread = case["round_by_round_ratio"]
        ratio = f"{case['speed_against_reference']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"
        rows.append([name, ours, theirs, ratio])
    how = f"{report['num_threads']} threads, fp32, CPU, median of {report['rounds']} rounds; in brackets the rounds."
    return f"{how}\n\n" + table(["network", "tubelet", "reference", "times as fast"], rows)


RENDERERS = {
    **claim_renderers(),
    **TRAINING,
    **ANONYMIZATION,
    **TOKEN_PRUNING,
    "network_speed": network_speed,
    "clip_sets": clip_sets,
    "clip_real": clip_real,
    "real_footage": real_footage,
    "evidence": evidence,
    "synthetic": synthetic,
    "recognize_speed": recognize_speed,
    "decode_speed": decode_speed,
    "startup": startup,
    "memory": memory,
}


def render(text: str, page: Path) -> str:
    """The page with every place filled in."""

    def fill(place: re.Match[str]) -> str:
        name = place[2]
        if name not in RENDERERS:
            sys.exit(f"{page}: there are no numbers called {name!r}; allowed: {', '.join(RENDERERS)}")
        return f"{place[1]}{RENDERERS[name]()}{place[3]}"

    return _PLACE.sub(fill, text)


def main() -> None:
    """Fills in, or checks, all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is out of date")
    options = parser.parse_args()
    stale = []
    # The evidence first: a page quotes it.
    for page in (EVIDENCE, *PAGES):
        before = page.read_text(encoding="utf-8")
        after = real_evidence() if page == EVIDENCE else render(before, page)
        if before != after:
            stale.append(str(page.relative_to(ROOT)))
            if not options.check:
                page.write_text(after, encoding="utf-8")
    if options.check and stale:
        sys.exit(
            f"numbers differ from the reports or claims in {', '.join(stale)}; run python scripts/render_numbers.py"
        )


if __name__ == "__main__":
    main()
