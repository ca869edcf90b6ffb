"""Make benchmarks/RESULTS.md from the JSON files of `benchmarks.ablation`: python -m benchmarks.ablation_table"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.ablation import FIRST_MIX, RESULTS
from benchmarks.ablation_variants import PHASES, VARIANTS

_KIND_COLUMNS = {
    "psnr": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 4),
    "l1": ("L1", 4),
    "psnr_hole": ("PSNR in hole", 2),
    "l1_hole": ("L1 in hole", 4),
    "l1_border": ("L1 at border", 4),
    "frechet_onet": ("Frechet, face", 4),
    "frechet_onet_full": ("Frechet, texture", 4),
}
_RATIO_COLUMNS = {
    "psnr": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 4),
    "l1": ("L1", 4),
    "l1_hole": ("L1 in hole", 4),
    "l1_border": ("L1 at border", 4),
}
_FEATURES = {
    "onet": (
        "Frechet: squared Frechet distance between the filled faces and the {n:,} faces themselves, on features of "
        "MTCNN's O-Net (weights of the facenet-pytorch 2.6.0 wheel). Face: the 256 before its last layers, of the "
        "picture at 48x48; texture: the 128 of its last convolution at the picture's own size, averaged over places. "
        "They are no FID and compare with no other table."
    ),
    "none": "No Frechet distance was measured.",
}


def read_results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the results, by variant in the order of `VARIANTS`.

    Raises:
        ValueError: there are none, or they were not made alike.
    """
    paths = sorted(folder.glob("*-seed*.json"))
    results = [json.loads(path.read_text()) for path in paths]
    if not results:
        raise ValueError(f"{folder}: no results; run python -m benchmarks.ablation first")
    for path, result in zip(paths, results, strict=True):
        for (what, first), own in zip(_conditions(results[0]).items(), _conditions(result).values(), strict=True):
            if None not in (first, own) and first != own:
                raise ValueError(f"{path}: {what} is {own!r}, in {paths[0].name} it is {first!r}; not comparable")
    names = [name for name in VARIANTS if any(result["variant"] == name for result in results)]
    return {name: [result for result in results if result["variant"] == name] for name in names}


def make_report(results: dict[str, list[dict[str, Any]]], costs: dict[str, Any] | None) -> str:
    """Return RESULTS.md.

    Args:
        results: of `read_results`.
        costs: what `benchmarks.ablation` wrote to costs.json, or None.
    """
    parts = [_introduction(results), _notes(results, costs), _summary(results, costs)]
    first = next(iter(results.values()))[0]["evaluation"]
    for kind, entry in first["masks"].items():
        parts.append(f"## Holes: {kind}, {100 * entry['hole_ratio']:.0f} % of the picture on average\n")
        parts.append(_table(results, "masks", kind, _KIND_COLUMNS))
    parts.append(f"## By share of the hole ({next(iter(results.values()))[0]['irregular_masks']})\n")
    for name in first["ratios"]:
        parts.append(f"### {name} ({first['ratios'][name]['n']} faces)\n")
        parts.append(_table(results, "ratios", name, _RATIO_COLUMNS))
    finding = {name: runs for name, runs in results.items() if runs[0]["evaluation"]["damages"]}
    if finding:
        parts.append("## Damage to be found, without a mask\n")
        for name, runs in finding.items():
            parts.append(_damages(name, runs))
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write the report; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split(":", 1)[0])
    parser.add_argument("--results_dir", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "RESULTS.md")
    options = parser.parse_args(arguments)
    costs = options.results_dir / "costs.json"
    try:
        results = read_results(options.results_dir)
        report = make_report(results, json.loads(costs.read_text()) if costs.exists() else None)
        options.output.write_text(report)
    except (ValueError, OSError) as error:
        print(f"ablation_table: error: {error}", file=sys.stderr)
        return 2
    return 0


def _conditions(result: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal for two results to stand in one table; None where it is what the variant changes."""
    config = {key: result["config"][key] for key in ("dataset", "image_size", "batch_size", "masks")}
    measured = {key: result["evaluation"][key] for key in ("n", "seed", "border_width")}
    # of the comparison: a variant's own updates are a multiple of them, rounded
    updates = {"updates": round(result["training"]["updates"] / VARIANTS[result["variant"]].updates)}
    mix = {"shares of mixed holes": result.get("mix", FIRST_MIX)}
    if "masks" in VARIANTS[result["variant"]].fields:  # in training; all are measured on the same
        config["masks"] = None
    how = {key: result[key] for key in ("split", "features", "irregular_masks")}
    return {**config, **mix, **measured, **updates, **how}


def _introduction(results: dict[str, list[dict[str, Any]]]) -> str:
    runs = [run for group in results.values() for run in group]
    first, config = runs[0], runs[0]["config"]
    seeds = sorted({run["seed"] for run in runs})
    machines = sorted({_machine(run["machine"]) for run in runs})
    return (
        "# Results\n\n"
        "NGAN against its own parts taken away and against GLCIC: one training script, the same faces, holes,\n"
        "updates and seeds. Made by `python -m benchmarks.ablation_table` from the files of `benchmarks.ablation`.\n\n"
        f"- Data: `{config['dataset']}`, {config['image_size']}x{config['image_size']} pixels; measured on "
        f"{first['evaluation']['n']:,} faces of the split `{first['split']}`.\n"
        f"- Budget: {first['training']['updates']:,} updates of {config['batch_size']} images = "
        f"{first['training']['images']:,} images a run; seeds {', '.join(map(str, seeds))}.\n"
        f"- Machine: {'; '.join(machines)}.\n"
    )


def _optimizer(config: dict[str, Any]) -> str:
    if config.get("optimizer", "adam") == "adam":
        return "Adam"
    return "Muon (`paper` and `adam`: Adam)"


def _notes(results: dict[str, list[dict[str, Any]]], costs: dict[str, Any] | None) -> str:
    first = next(iter(results.values()))[0]
    config, n = first["config"], first["evaluation"]["n"]
    schedule = (
        f"{config['generator_only_steps']:,} update(s) of the generators alone, then "
        f"{config['discriminator_only_steps']:,} of the critics alone, then all"
    )
    mix = first.get("mix", FIRST_MIX)
    shares = f" ({', '.join(f'{100 * share:.0f} % {kind}' for kind, share in mix.items())})" if mix else ""
    counts = ", ".join(f"{name}: {len(runs)}" for name, runs in results.items() if len(runs) > 1)
    notes = [
        f"All variants: {schedule} (GLCIC published {100 * PHASES[0]:.0f} % and {100 * PHASES[1]:.0f} %), "
        f"`{config['masks']}` holes{shares}, {_optimizer(config)} with the script's learning rates and schedule.",
        "All variants but `ngan_find` are given the mask at every update (`find_share 0`), since GLCIC and a single "
        "stage can do nothing else; the default recipe spends a third of its batches on finding damage, as "
        "`ngan_find` does. All but `zoom` show the local critic a window of one size (`local_zoom 1`), as GLCIC does. "
        "All but the `default` ones and `structure` are without the structure loss, as the paper and GLCIC are.",
        "Figures are of the composite, known pixels untouched, rounded to 8 bits, means over faces, at the same holes "
        "for all. L1 in units of the full range. Hole: the hole's pixels only. Border: "
        f"{first['evaluation']['border_width']} pixels to each side of its border.",
        _FEATURES[first["features"]].format(n=n),
        "LPIPS is left out: its networks are downloaded at run time, which this benchmark does without.",
        "`glcic` is this project's own implementation of the published layer tables and losses; how it differs stands "
        "in `benchmarks/glcic.py`.",
        f"Mean and sample standard deviation over seeds where a variant has several ({counts})."
        if counts
        else "One seed a variant: what chance does to these figures was not measured.",
    ]
    longer = [name for name in results if VARIANTS[name].updates != 1]
    if longer:
        names = ", ".join(f"`{name}`" for name in longer)
        notes.append(f"{names}: with other numbers of updates, as its row says, phases and schedule stretched alike.")
    if any(kind.endswith("off frame") for kind in first["evaluation"]["masks"]):
        notes.append(
            "Off frame: faces up to 18 % larger or smaller, 6 % of the side away, turned by 8 degrees, as those found "
            "in photos are, holes included."
        )
    if costs:
        size = costs["image_size"]
        notes.append(
            f"GFLOPs: of one {size}x{size} picture through the generators, a multiplication and an addition as two. "
            f"ms: one picture at a time, float32, the median of turns taken with the others, on "
            f"{_machine(costs['machine'])}."
        )
    return "\n".join(f"- {note}" for note in notes) + "\n"


def _summary(results: dict[str, list[dict[str, Any]]], costs: dict[str, Any] | None) -> str:
    kinds = list(next(iter(results.values()))[0]["evaluation"]["masks"])
    titles = ["variant", "what", "M parameters", "GFLOPs", "ms", *(f"{kind} PSNR / SSIM" for kind in kinds)]
    lines = [_row(titles), "|---|---|" + "---:|" * (len(titles) - 2)]
    for name, runs in results.items():
        own = costs["networks"].get(name) if costs else None
        cost = [f"{own['parameters'] / 1e6:.2f}", f"{own['gflops']:.2f}", f"{own['ms']:.1f}"] if own else ["-"] * 3
        entries = [[run["evaluation"]["masks"][kind]["ngan"] for run in runs] for kind in kinds]
        cells = [f"{_mean(own, 'psnr', 2)} / {_mean(own, 'ssim', 4)}" for own in entries]
        lines.append(_row([f"`{name}`", runs[0]["title"], *cost, *cells]))
    return "\n".join(lines) + "\n"


def _table(
    results: dict[str, list[dict[str, Any]]], table: str, kind: str, columns: dict[str, tuple[str, int]]
) -> str:
    entries = {name: [run["evaluation"][table][kind]["ngan"] for run in runs] for name, runs in results.items()}
    present = {
        key: column for key, column in columns.items() if any(key in e for own in entries.values() for e in own)
    }
    lines = [_row(["variant", *(title for title, _ in present.values())]), "|---|" + "---:|" * len(present)]
    for name, own in entries.items():
        lines.append(_row([f"`{name}`", *(_mean(own, key, digits) for key, (_, digits) in present.items())]))
    return "\n".join(lines) + "\n"


def _damages(name: str, runs: list[dict[str, Any]]) -> str:
    lines = [_row([f"`{name}`", "IoU", "PSNR (dB)", "PSNR before"]), "|---|---:|---:|---:|"]
    for kind in runs[0]["evaluation"]["damages"]:
        own = [run["evaluation"]["damages"][kind] for run in runs]
        lines.append(_row([kind, _mean(own, "iou", 3), _mean(own, "psnr", 2), _mean(own, "psnr_damaged", 2)]))
    return "\n".join(lines) + "\n"


def _mean(entries: list[dict[str, Any]], key: str, digits: int) -> str:
    values = [entry[key] for entry in entries if entry.get(key) is not None]
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _machine(entry: dict[str, Any]) -> str:
    on = entry["processor"] if entry["device"] == "CPU" else f"{entry['device']} and {entry['processor']}"
    return f"{on}, {entry['cores']} core(s), {entry['threads']} thread(s), torch {entry['torch']}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
