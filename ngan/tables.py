"""The figures of `ngan.evaluation` as Markdown tables."""

from typing import Any

_METHOD_NAMES = {
    "ngan": "NGAN",
    "self_ensemble": "NGAN, self-ensemble",
    "code_image": "its code image",
    "telea": "OpenCV Telea",
}
_SCORE_NAMES = {
    "psnr": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 3),
    "l1": ("L1", 4),
    "psnr_hole": ("PSNR in hole", 2),
    "l1_hole": ("L1 in hole", 3),
    "l1_border": ("L1 at border", 3),
}


def format_table(result: dict[str, Any]) -> str:
    """Return the result of `evaluate` as Markdown: a table of the holes and one of the mask-free mode."""
    parts = []
    if result["masks"]:
        titles = [title for title, _ in _SCORE_NAMES.values()]
        lines = [_row(["hole", "share", "method", *titles]), _rule(3, len(titles))]
        for kind, entry in result["masks"].items():
            for method, scores in ((m, entry[m]) for m in _METHOD_NAMES if m in entry):
                cells = [_number(scores[key], digits) for key, (_, digits) in _SCORE_NAMES.items()]
                lines.append(_row([kind, _percent(entry["hole_ratio"]), _METHOD_NAMES[method], *cells]))
        parts.append("\n".join(lines))
    if result["damages"]:
        lines = [_row(["damage to be found", "share", "IoU", "PSNR (dB)", "PSNR before"]), _rule(2, 3)]
        for kind, entry in result["damages"].items():
            cells = [_number(entry["iou"], 3), _number(entry["psnr"], 2), _number(entry["psnr_damaged"], 2)]
            lines.append(_row([kind, _percent(entry["damage_ratio"]), *cells]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(words: int, numbers: int) -> str:
    return "|" + "---|" * words + "---:|" * numbers


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
