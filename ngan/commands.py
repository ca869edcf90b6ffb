"""What the commands of `python -m ngan` do with their options; each returns the exit status."""

import argparse
import copy
import json
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from torch.utils.flop_counter import FlopCounterMode

from ngan.batch import Outcome, Share, is_done, leaving_together, one_line, run_tasks
from ngan.disk import check_place, is_written_in_place, remove_stale, write_bytes
from ngan.hub import CRISP, EMBEDDED, default_model, download
from ngan.inference import Inpainter
from ngan.model import NGAN
from ngan.onnx_model import check_onnx, export_onnx
from ngan.plans import check_written, is_folder, plan
from ngan.saving import JPEG, LOSSLESS, check_writable, quiet_pillow, save_picture
from ngan.tasks import Task, ends_like_picture

_TRUE = ("1", "true", "t", "yes", "y", "on")  # as Accelerate reads its variables


def inpaint(options: argparse.Namespace) -> int:
    """Fill a picture, or this process's share of many.

    Raises:
        KeyboardInterrupt: after what was done by then has been told and reported.
    """
    quiet_pillow()
    share = Share.of_environment()
    with leaving_together(share):
        return _inpaint(options, share)


def _inpaint(options: argparse.Namespace, share: Share) -> int:
    report = _report_path(options.report, share)
    _check_not_folders(options.report, report)
    out, known = Path(options.out), (*LOSSLESS, *JPEG)
    if is_written_in_place(out) and out.suffix.lower() not in known:
        raise ValueError(f"{out}: OUT must be a folder, or a picture file that ends in {', '.join(known)}")
    tasks, refused, single = plan(options)
    if not single and ends_like_picture(out) and not is_folder(options.out):
        raise ValueError(f"{out}: many faces need a folder to write to, and its name may not end in {out.suffix}")
    _check_fill(options, tasks, refused, report)
    count = len(tasks) + len(refused)
    tasks = tasks[share.rank :: share.count]
    refused = dict(list(refused.items())[share.rank :: share.count])
    outcome, start = Outcome(), time.perf_counter()
    if tasks or refused or share.count == 1:
        how = {"self_ensemble": not options.no_self_ensemble, "refined": not options.no_refiner}
        inpainter = _load(options.model, _device(options, share), backend=options.backend, **how)
        _check_places(next((task.target for task in tasks if not is_done(task, options.overwrite)), None), report)
        for folder in set() if single else {task.target.parent for task in tasks}:
            remove_stale(folder)
        fill, start = partial(inpainter.fill, show_inside=False), time.perf_counter()
        outcome = run_tasks(tasks, fill, overwrite=options.overwrite, progress=not single and share.rank == 0)
        outcome.total += len(refused)
        outcome.failed = refused | outcome.failed
        _tell(outcome, share, single)
    else:  # there are fewer pictures than processes
        who = f"process {share.rank + 1} of {share.count}, by RANK and WORLD_SIZE"
        print(f"ngan: {who}: nothing to do, pictures in all: {count}", file=sys.stderr)
    if report is not None:
        content = {
            "model": _public(options.model),
            "process": share.rank,
            "processes": share.count,
            "seconds": round(time.perf_counter() - start, 3),
            **vars(outcome),
        }
        _write_json(report, content)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return 1 if outcome.failed else 0


def _report_path(path: Path | None, share: Share) -> Path | None:
    """This process's own file of a report; a pipe or device is everyone's."""
    if path is None or share.count == 1 or is_written_in_place(path):
        return path
    return path.with_stem(f"{path.stem}-{share.rank:02}-of-{share.count:02}")


def _check_not_folders(*written: Path | None) -> None:
    for path in filter(None, written):
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file")


def _check_fill(options: argparse.Namespace, tasks: list[Task], refused: dict[str, str], report: Path | None) -> None:
    """Refuse outputs and a report that would take the place of what is read, or of one another."""
    masks = [options.mask] if options.mask is not None else []
    faces = [] if options.dataset is not None else [*(task.name for task in tasks), *refused]
    sets = [options.dataset] if options.dataset is not None else []
    written = [*(task.target for task in tasks), report]
    check_written(written, [*faces, *masks, *_model_files(options.model)], sets)
    if report is None:
        return
    if report.suffix.lower() != ".json":
        check_written([report], [], masks)
    targets = {task.target for task in tasks}
    folders = {folder for target in targets for folder in target.parents}
    if os.path.realpath(report) in map(os.path.realpath, folders):
        raise ValueError(f"{report} is a folder to write pictures to; name a file")
    for picture in targets.intersection(report.parents):
        raise ValueError(f"{report}: {picture} is no folder but a picture to be written; name another file")


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
        named = reason.startswith((f"{name}: ", f"{name} "))
        print(f"ngan: error: {reason if named else f'{name}: {reason}'}", file=sys.stderr)
    left = "left alone because their output exists; --overwrite fills them again"
    if single:
        if outcome.present:
            print("ngan: the output exists and was left alone; --overwrite fills it again", file=sys.stderr)
        for name, notes in outcome.notes.items():
            print(f"ngan: {name}: {' '.join(notes)}", file=sys.stderr)
        return
    who = f"process {share.rank + 1} of {share.count}: " if share.count > 1 else ""
    parts = [f"{outcome.filled} of {outcome.total} faces filled"]
    known = [f"{outcome.faceless} without a face found"] if outcome.faceless else []
    known += [f"{outcome.coloured} by a mask that has colours"] if outcome.coloured else []
    parts[0] += f" ({', '.join(known)})" if known else ""
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
    from ngan.card import described_set, renew_figures  # see _plan_rows
    from ngan.data import load_faces
    from ngan.differences import FEWEST, format_differences, measure_differences
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
    _check_not_folders(options.json, options.grid)
    check_written([options.json, options.grid], _model_files(options.model), [options.dataset])
    if options.update_card and options.model is None:  # else one trial would take the place of the package's figures
        raise ValueError("--update-card needs --model, the folder whose card is to be renewed")
    source = Path(options.model or default_model())
    card = source / "README.md" if options.update_card else None
    if card is not None and not card.is_file():
        raise ValueError(f"--update-card: {source} is not a folder with a model's card, README.md")
    model = _load(options.model, options.device).model
    _check_places(options.json, options.grid, card)
    chosen = {"limit": options.limit, "column": options.image_column, "in_memory": True}
    chosen["config_name"] = options.dataset_config_name
    faces = load_faces(options.dataset, options.split, image_size=model.image_size, **chosen)
    if options.differences and len(faces) < FEWEST:  # said now, for measuring takes long and would be lost
        raise ValueError(f"--differences: {len(faces)} faces; thirds of them need at least {FEWEST}")
    kinds = {"masks": options.masks, "damages": options.damages, "seed": options.seed}
    figures = measure(model, faces, self_ensemble=options.self_ensemble, **kinds)
    if options.off_frame:
        size = model.image_size
        off = load_faces(options.dataset, options.split, image_size=source_size(size, 1.0), **chosen)
        figures["masks"] |= measure_off_frame(model, off, size, seed=options.seed, self_ensemble=options.self_ensemble)
    if options.differences:
        figures["differences"] = measure_differences(model, faces)
    name = _public(options.model)
    described = described_set(options.dataset, options.dataset_config_name, options.split)
    result = {"model": name, **described, "dataset": options.dataset, **figures}
    size = f"{result['image_size']}x{result['image_size']}"
    where = ", ".join(filter(None, (options.dataset, options.dataset_config_name, options.split)))
    print(f"{name} on {result['n']} faces of {where}, {size}, seed {options.seed}\n")
    print(format_table(result), end="")
    if options.differences:
        print(f"\n{format_differences(result['differences'])}", end="")
    if options.update_card:
        renew_figures(source, {**described, **figures})
        print(f"\nfigures of {result['n']} faces written to {card}")
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
    told["figures"], trouble = _card_figures(source)

    print(f"{told['model']}, loaded from {source}")
    print(f"trained at {size}x{size} pixels; takes any height and width")
    print(f"{told['parameters']:,} parameters ({told['megabytes']} MB as loaded): code generator ", end="")
    print(f"{told['code_generator_parameters']:,}, image generator {told['image_generator_parameters']:,}")
    for side, cost in told["gflops"].items():
        print(f"{cost:.2f} GFLOPs for a picture of {side}x{side} (two a multiply-add)")
    if told["figures"] is None:
        print(f"its card could not be read: {trouble}")
    else:
        print("figures of its card:" if told["figures"] else "its card holds no figures")
    for figure in told["figures"] or []:
        value = figure["value"]
        shown = f"{value!r}, which is no number" if isinstance(value, str) else f"{value:g}"
        print(f"  {figure['dataset']}: {figure['metric']} {shown}")
    if options.json is not None:
        _write_json(options.json, told)
    return 0


def _gflops(model: NGAN, side: int) -> float:
    """Cost of one picture, in 10^9 operations by torch's counter, a multiply-add counted as two."""
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # else attention goes uncounted
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        plain(torch.zeros(1, 3, side, side), torch.zeros(1, 1, side, side))
    return counter.get_total_flops() / 1e9


def _card_figures(source: str) -> tuple[list[dict[str, Any]] | None, str]:
    """The figures of a model's card, or None and why it cannot be read."""
    try:
        path = Path(source, "README.md") if Path(source).is_dir() else download(source, "README.md")
        text = path.read_text(encoding="utf-8")
        results = ModelCard(text, ignore_metadata_errors=True).data.eval_results or []
        return [
            {
                "dataset": str(r.dataset_name),
                "split": r.dataset_split and str(r.dataset_split),
                "metric": str(r.metric_type),
                "value": _value(r),
            }
            for r in results
        ], ""
    except LocalEntryNotFoundError:  # the model came from the cache
        return None, "the Hub does not answer"
    except (FileNotFoundError, RemoteEntryNotFoundError):
        return [], ""
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:  # of download, YAML, its values
        return None, one_line(error)


def _value(result: EvalResult) -> int | float | str:
    """A figure of a card, as text where it is none."""
    value = result.metric_value
    return value if isinstance(value, (int, float)) and math.isfinite(value) else str(value)


def export(options: argparse.Namespace) -> int:
    """Write a model as ONNX and compare it with the original."""
    if options.out.suffix.lower() != ".onnx" or options.out.is_dir():
        raise ValueError(f"{options.out}: name a file that ends in .onnx")
    model = _load(options.model, "cpu").model
    check_place(options.out)
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
    return next((folder.name for folder in (EMBEDDED, CRISP) if name == str(folder)), name)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
