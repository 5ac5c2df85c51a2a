"""Tables of what removing tokens costs and saves, for `render_numbers.py`."""

from __future__ import annotations

from collections.abc import Callable

from report_tables import REPORTS, load, table

_NAMES = {
    "dense": "nothing removed",
    "dense_longer": "nothing removed, trained twice as long",
    "stts": "trained scores (both losses)",
    "aux_only": "scores by the temporal loss alone",
    "no_aux": "scores by the answers alone",
    "stts_flicker": "trained scores, five cells flicker",
    "aux_only_flicker": "scores by the temporal loss alone, five cells flicker",
    "random": "random groups, trained with them",
    "prev_sim_tuned": "change from the frame before, tuned with it",
    "tome_tuned": "merging (transformer only), tuned with it",
    "fastv_tuned": "attention in the language model, tuned with it",
    "dense_tuned": "nothing removed, tuned",
    "stts_tuned": "trained scores (both losses), tuned",
    "aux_only_tuned": "scores by the temporal loss alone, tuned",
    "no_aux_tuned": "scores by the answers alone, tuned",
    "random_tuned": "random groups, tuned with them",
    "stts_after_1_tuned": "trained scores, a block later, tuned",
    "stts_bias_row_tuned": "trained scores, spread by rows, tuned",
    "stts_bias_off_tuned": "trained scores, no bias, tuned",
    "stts_target_moves_tuned": "trained scores, target not detached, tuned",
    "stts_llm_only_tuned": "trained scores, language model only, tuned",
    "stts_vit_only_tuned": "trained scores, transformer only, tuned",
}
_UNTRAINED = "on the dense model, untrained: "
_STRATA = ("moving", "entering", "standing", "flashing")


def token_pruning_tests() -> str:
    """Every way of removing tokens at every share."""
    if not (REPORTS / "token_pruning.json").exists():
        return "Not measured yet.\n"
    rows = []
    for row in load("token_pruning")["tests"]:
        what = row["what"]
        if what.split(" ")[-2:-1] == ["flashing"]:
            continue
        name = _UNTRAINED + what.removeprefix("untrained ") if what.startswith("untrained ") else _NAMES[what]
        low, high = row["interval"]
        order = list(_NAMES).index(what) if what in _NAMES else len(_NAMES)
        cells = [
            name,
            str(row["num_seeds"]),
            f"{100 * row['remove']:.0f} %",
            f"{100 * row['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
            *(f"{100 * row[stratum]:.0f} %" for stratum in _STRATA),
            f"{100 * row['evidence_kept']:.0f} %",
            f"{100 * row['flicker_kept']:.0f} %",
        ]
        rows.append(((row["remove"], order, name), cells))
    head = ["groups chosen by", "seeds", "removed", "accuracy", *_STRATA, "evidence kept", "flicker kept"]
    return table(head, [cells for _, cells in sorted(rows, key=lambda each: each[0])])


def token_pruning_speed() -> str:
    """Speed over the dense model, by method and frames."""
    if not (REPORTS / "token_pruning_speed.json").exists():
        return "Not measured yet.\n"
    cases = load("token_pruning_speed")["cases"]
    methods = list(dict.fromkeys(method for case in cases for method in case["methods"]))
    rows = []
    for case in cases:
        cells = []
        for method in methods:
            found = case["methods"].get(method)
            cells.append("" if found is None else f"{found['speedup']:.2f} of {found['limit']:.2f}")
        rows.append(
            [case["name"], f"{case['median_ms']['dense']:.0f} ms", *cells, f"{100 * case['overhead_share']:.1f} %"]
        )
    return table(["", "dense", *methods, "scoring, selecting, packing"], rows)


RENDERERS: dict[str, Callable[[], str]] = {
    "token_pruning_tests": token_pruning_tests,
    "token_pruning_speed": token_pruning_speed,
}
