"""What the commands of `python -m ngan` do with their options; each returns the exit status."""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from torch.utils.flop_counter import FlopCounterMode

from ngan.batch import Outcome, Share, one_line, run_tasks
from ngan.hub import EMBEDDED, default_model, split_revision
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.onnx_model import check_onnx, export_onnx
from ngan.plans import check_written, plan
from ngan.saving import JPEG, check_place, check_writable, quiet_pillow, save_picture, write_bytes
from ngan.tasks import Task

_TRUE = ("1", "true", "t", "yes", "y", "on")  # as Accelerate reads its variables


def inpaint(options: argparse.Namespace) -> int:
    """Fill a picture, or this process's share of many."""
    quiet_pillow()
    share = Share.of_environment()
    if options.report is not None and options.report.is_dir():
        raise ValueError(f"{options.report} is a folder; name a file")
    tasks, refused, single = plan(options)
    report = _report_path(options.report, share)
    _check_fill(options, tasks, refused, report)
    mine = tasks[share.rank :: share.count]
    refused = dict(list(refused.items())[share.rank :: share.count])
    how = {"backend": options.backend, "self_ensemble": not options.no_self_ensemble}
    inpainter = _load(options.model, _device(options, share), **how)
    _check_places(report)

    start = time.perf_counter()
    fill = partial(inpainter.fill, show_inside=False)
    outcome = run_tasks(mine, fill, overwrite=options.overwrite, progress=not single and share.rank == 0)
    outcome.total += len(refused)
    outcome.failed = refused | outcome.failed
    _tell(outcome, share, single)
    if options.report is not None:
        content = {
            "model": _public(options.model),
            "process": share.rank,
            "processes": share.count,
            "seconds": round(time.perf_counter() - start, 3),
            **vars(outcome),
        }
        _write_json(report, content)
    return 1 if outcome.failed else 0


def _report_path(path: Path | None, share: Share) -> Path | None:
    """This process's own file of a report."""
    if path is None or share.count == 1:
        return path
    return path.with_stem(f"{path.stem}-{share.rank:02}-of-{share.count:02}")


def _check_fill(options: argparse.Namespace, tasks: list[Task], refused: dict[str, str], report: Path | None) -> None:
    """Refuse outputs and a report that would take the place of what is read, or of one another."""
    masks = [options.mask] if options.mask is not None else []
    faces = [] if options.dataset is not None else [*(task.name for task in tasks), *refused]
    sets = [options.dataset] if options.dataset is not None else []
    written = [*(task.target for task in tasks), report]
    check_written(written, [*faces, *masks, *_model_files(options.model)], sets)
    if report is not None and report.suffix.lower() != ".json":
        check_written([report], [], masks)


def _device(options: argparse.Namespace, share: Share) -> str | None:
    """The device that is named, or else this process's part of what the launcher gives; None = the best there is."""
    if options.device is not None or options.backend == "onnx":
        return options.device
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in _TRUE:
        return "cpu"
    if share.count > 1 and torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', share.rank)) % torch.cuda.device_count()}"
    return None


def _tell(outcome: Outcome, share: Share, single: bool) -> None:
    for name, reason in outcome.failed.items():
        print(f"ngan: error: {name}: {reason.removeprefix(f'{name}: ')}", file=sys.stderr)
    left = "left alone because their output exists; --overwrite fills them again"
    if single:
        if outcome.present:
            print("ngan: the output exists and was left alone; --overwrite fills it again", file=sys.stderr)
        for name, notes in outcome.notes.items():
            print(f"ngan: {name}: {' '.join(notes)}", file=sys.stderr)
        return
    who = f"process {share.rank + 1} of {share.count}: " if share.count > 1 else ""
    parts = [f"{outcome.filled} of {outcome.total} faces filled"]
    parts[0] += f" ({outcome.faceless} without a face found)" if outcome.faceless else ""
    parts += [f"{outcome.undamaged} written as they were, without damage found"] if outcome.undamaged else []
    parts += [f"{outcome.present} {left}"] if outcome.present else []
    parts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
    print(f"ngan: {who}{', '.join(parts)}", file=sys.stderr)


def _check_places(*written: Path | None) -> None:
    """Find out before the work whether its figures can be written."""
    for path in filter(None, written):
        check_place(path)


def _model_files(model: str | None) -> list[Path]:
    """The files that a model is read from, if it lies here."""
    source = Path(model or default_model())
    names = ("config.json", "model.safetensors", "model.onnx", "README.md")
    return [source / name for name in names] if source.is_dir() else [source]


def evaluate(options: argparse.Namespace) -> int:
    """Measure a model on a set of faces."""
    from ngan.card import public, renew_figures  # see _plan_rows
    from ngan.data import load_faces
    from ngan.differences import format_differences, measure_differences
    from ngan.evaluation import evaluate as measure
    from ngan.evaluation import example_grid
    from ngan.off_frame import measure_off_frame
    from ngan.reframing import source_size
    from ngan.tables import format_table

    quiet_pillow()
    if options.grid is not None:
        check_writable(options.grid)
        if options.grid.suffix.lower() in JPEG:
            raise ValueError(f"{options.grid}: JPEG would blur its pixels; end its name in .png")
    for path in (options.json, options.grid):
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder; name a file")
    check_written([options.json, options.grid], _model_files(options.model), [options.dataset])
    source = Path(options.model or default_model())
    if options.update_card and not (source / "README.md").is_file():
        raise ValueError(f"--update-card: {source} is not a folder with a model's card, README.md")
    model = _load(options.model, options.device).model
    _check_places(options.json, options.grid)
    chosen = {"limit": options.limit, "in_memory": True}
    faces = load_faces(options.dataset, options.split, image_size=model.image_size, **chosen)
    kinds = {"masks": options.masks, "damages": options.damages, "seed": options.seed}
    figures = measure(model, faces, self_ensemble=options.self_ensemble, **kinds)
    if options.off_frame:
        size = model.image_size
        off = load_faces(options.dataset, options.split, image_size=source_size(size, 1.0), **chosen)
        figures["masks"] |= measure_off_frame(model, off, size, seed=options.seed, self_ensemble=options.self_ensemble)
    if options.differences:
        figures["differences"] = measure_differences(model, faces)
    name = _public(options.model)
    result = {"model": name, "dataset": options.dataset, "split": options.split, **figures}
    size = f"{result['image_size']}x{result['image_size']}"
    print(f"{name} on {result['n']} faces of {options.dataset}, {options.split}, {size}, seed {options.seed}\n")
    print(format_table(result), end="")
    if options.differences:
        print(f"\n{format_differences(result['differences'])}", end="")
    if options.update_card:
        renew_figures(source, {"dataset": public(options.dataset), "split": options.split, **figures})
    if options.json is not None:
        _write_json(options.json, result)
    if options.grid is not None:
        save_picture(options.grid, example_grid(model, faces, **kinds))
    return 0


def info(options: argparse.Namespace) -> int:
    """Tell a model's size, cost and figures."""
    if options.json is not None and options.json.is_dir():
        raise ValueError(f"{options.json} is a folder; name a file")
    check_written([options.json], _model_files(options.model), [])
    source = options.model or default_model()
    model = _load(options.model, "cpu").model
    size = model.image_size
    told: dict[str, Any] = {"model": _public(options.model), "loaded_from": source, "image_size": size}
    for name, part in (
        ("", model),
        ("code_generator", model.code_generator),
        ("image_generator", model.image_generator),
    ):
        told["_".join(filter(None, (name, "parameters")))] = sum(p.numel() for p in part.parameters())
    told["megabytes"] = round(sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6, 2)
    told["gflops"] = {str(side): round(_gflops(model, side), 2) for side in (size, 2 * size)}
    told["figures"] = _card_figures(source)

    print(f"{told['model']}, loaded from {source}")
    print(f"trained at {size}x{size} pixels; takes any height and width")
    print(f"{told['parameters']:,} parameters ({told['megabytes']} MB as loaded): code generator ", end="")
    print(f"{told['code_generator_parameters']:,}, image generator {told['image_generator_parameters']:,}")
    for side, cost in told["gflops"].items():
        print(f"{cost:.2f} GFLOPs for a picture of {side}x{side} (two a multiply-add)")
    if told["figures"] is None:
        print("its card could not be read: the Hub does not answer")
    else:
        print("figures of its card:" if told["figures"] else "its card holds no figures")
    for figure in told["figures"] or []:
        print(f"  {figure['dataset']}: {figure['metric']} {figure['value']:g}")
    if options.json is not None:
        _write_json(options.json, told)
    return 0


def _gflops(model: NGAN, side: int) -> float:
    """Cost of one picture, in 10^9 operations by torch's counter, a multiply-add counted as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side))
    return counter.get_total_flops() / 1e9


def _card_figures(source: str) -> list[dict[str, Any]] | None:
    """The figures of a model's card; None if the Hub that holds it does not answer."""
    path = Path(source) / "README.md"
    if not Path(source).is_dir():
        try:
            name, revision = split_revision(source)
            path = Path(hf_hub_download(name, "README.md", revision=revision))
        except RemoteEntryNotFoundError:
            return []
        except LocalEntryNotFoundError:  # the model came from the cache
            return None
    if not path.is_file():
        return []
    results = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.eval_results or []
    return [
        {"dataset": r.dataset_name, "split": r.dataset_split, "metric": r.metric_type, "value": r.metric_value}
        for r in results
    ]


def export(options: argparse.Namespace) -> int:
    """Write a model as ONNX and compare it with the original."""
    if options.out.suffix.lower() != ".onnx" or options.out.is_dir():
        raise ValueError(f"{options.out}: name a file that ends in .onnx")
    model = _load(options.model, "cpu").model
    content = export_onnx(model, options.opset)
    difference = check_onnx(content, model)
    write_bytes(options.out, content)
    print(f"{options.out}: {len(content) / 1e6:.1f} MB, opset {options.opset}, ", end="")
    print(f"differs from the original by at most {difference:.1e} of a range of 2")
    return 0


def _load(model: str | None, device: str | None, **how: Any) -> Inpainter:
    try:
        return Inpainter(model, device, **how)
    except OSError as error:
        if model is None or model in str(error):
            raise
        raise OSError(f"{model}: {one_line(error)}") from error  # the Hub's own errors may not name it


def _public(model: str | None) -> str:
    """Name a model as others know it: the embedded one's path says nothing on another machine."""
    name = model or default_model()
    return EMBEDDED.name if name == str(EMBEDDED) else name


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
