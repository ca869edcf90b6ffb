"""The command line: `python -m ngan inpaint` fills faces, `python -m ngan evaluate` measures a model.

Exit status: 0 = all went well, 1 = some pictures could not be filled, 2 = the command could not be carried out.
Whatever is written appears whole or not at all.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from PIL import Image
from tqdm.auto import tqdm

from ngan.hub import EMBEDDED, default_model
from ngan.inference import Inpainter
from ngan.masks import DAMAGE_KINDS, MASK_KINDS

# Lossless only: a known pixel comes back as it was, which JPEG would not let it.
_FORMATS: dict[str, tuple[str, dict[str, bool]]] = {
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
# What a picture, a model or a device can be wrong with; torch reports exhausted memory as a RuntimeError.
_REPORTED = (ValueError, OSError, RuntimeError)

_INPAINT_EXAMPLES = """examples:
  python -m ngan inpaint face.jpg mask.png -o filled.png
  python -m ngan inpaint faces/ masks/ -o filled/
  python -m ngan inpaint old-print.jpg --find-damage -o restored.png
"""
_EVALUATE_EXAMPLES = """example:
  python -m ngan evaluate --dataset celeba178 --split validation --masks center,box,freeform --json out.json
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"ngan: error: {message} ({self.prog} --help tells more)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `python -m ngan`; None = those of this process.

    Returns:
        The exit status.

    Raises:
        SystemExit: status 2 for words that do not parse, 0 for --help.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except _REPORTED as error:
        print(f"ngan: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ngan: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ngan", description="Face inpainting by a nested GAN.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    layout = argparse.RawDescriptionHelpFormatter

    inpaint = commands.add_parser(
        "inpaint",
        help="fill the damage of a face, or of a folder of faces",
        description="Fill the damage of a face, or of a folder of faces. Known pixels come back untouched.",
        epilog=_INPAINT_EXAMPLES,
        formatter_class=layout,
    )
    inpaint.set_defaults(run=_inpaint)
    inpaint.add_argument("face", metavar="FACE", type=Path, help="a picture, or a folder of pictures")
    inpaint.add_argument(
        "mask",
        metavar="MASK",
        type=Path,
        nargs="?",
        help="white where FACE is to be filled, of FACE's size; for a folder, a folder of masks with the faces' names "
        "(extensions may differ)",
    )
    inpaint.add_argument("--find-damage", action="store_true", help="instead of MASK: let the model find the damage")
    inpaint.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        type=Path,
        required=True,
        help=f"file to write ({', '.join(_FORMATS)}), or folder, where each face becomes a .png of its name",
    )
    _add_model_options(inpaint)

    evaluate = commands.add_parser(
        "evaluate",
        help="measure a model on a set of faces",
        description="Measure a model on a set of faces: PSNR, SSIM and L1 by kind of hole, beside OpenCV's Telea,\n"
        "and how well it finds damage by itself, by kind of damage. Prints Markdown tables.",
        epilog=_EVALUATE_EXAMPLES,
        formatter_class=layout,
    )
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument(
        "--dataset",
        metavar="D",
        required=True,
        help="a folder of pictures, a data set folder or a data set on the Hub",
    )
    evaluate.add_argument("--split", default="validation", help="split of the data set (default: %(default)s)")
    evaluate.add_argument(
        "--masks",
        metavar="KINDS",
        type=_kinds(MASK_KINDS),
        default="center,box,freeform",
        help=f"holes, of {', '.join(MASK_KINDS)}, with commas between; or none (default: %(default)s)",
    )
    evaluate.add_argument(
        "--damages",
        metavar="KINDS",
        type=_kinds(DAMAGE_KINDS),
        default=",".join(DAMAGE_KINDS),
        help="damage to be found without a mask, with commas between; or none (default: %(default)s)",
    )
    evaluate.add_argument("--limit", metavar="N", type=int, help="take the first N faces only")
    evaluate.add_argument(
        "--seed", metavar="S", type=int, default=0, help="of holes and damage (default: %(default)s)"
    )
    evaluate.add_argument("--json", metavar="FILE", type=Path, help="write all figures to FILE")
    evaluate.add_argument("--grid", metavar="FILE", type=Path, help="write a picture of some examples to FILE")
    _add_model_options(evaluate)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        help="folder or Hub id of a model (default: NGAN_MODEL if that is set, else the one that comes with ngan)",
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")


def _inpaint(options: argparse.Namespace) -> int:
    if (options.mask is None) != options.find_damage:
        raise ValueError("inpaint needs either MASK or --find-damage, and not both")
    for path in (options.face, options.mask):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    folder = options.face.is_dir()
    if options.mask is not None and options.mask.is_dir() != folder:
        raise ValueError(f"{options.face} and {options.mask}: give two files or two folders")
    faces = _pictures(options.face) if folder else [options.face]
    if not faces:
        raise ValueError(f"{options.face} holds no picture")
    _refuse_overwriting(options)
    inpainter = _load(options)

    failures: dict[Path, str] = {}
    written: dict[Path, Path] = {}
    for face in tqdm(faces, unit="face", disable=not folder):
        target = options.out
        if folder or options.out.is_dir():
            target = options.out / f"{face.stem}.png"
        try:
            if target in written:
                raise ValueError(f"would overwrite {target}, just made from {written[target].name}")
            mask = _mask_of(face, options.mask) if folder and options.mask is not None else options.mask
            _write_picture(target, inpainter(face, mask))
        except _REPORTED as error:
            failures[face] = _one_line(error)
        else:
            written[target] = face
    for face, reason in failures.items():
        print(f"ngan: error: {face}: {reason.removeprefix(f'{face}: ')}", file=sys.stderr)
    if folder and failures:
        print(f"ngan: {len(failures)} of {len(faces)} faces failed, {len(written)} filled", file=sys.stderr)
    return 1 if failures else 0


def _evaluate(options: argparse.Namespace) -> int:
    from ngan.data import load_faces  # `datasets` takes seconds to import and `inpaint` has no use for it
    from ngan.evaluation import evaluate, example_grid, format_table

    if options.grid is not None:
        _format_of(options.grid)
    for path in (options.json, options.grid):
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder; name a file")
    model = _load(options).model
    faces = load_faces(
        options.dataset, options.split, image_size=model.image_size, limit=options.limit, in_memory=True
    )
    kinds = {"masks": options.masks, "damages": options.damages, "seed": options.seed}
    figures = evaluate(model, faces, **kinds)
    name = options.model or default_model()
    name = EMBEDDED.name if name == str(EMBEDDED) else name  # its path says nothing on another machine
    result = {"model": name, "dataset": options.dataset, "split": options.split, **figures}
    size = f"{result['image_size']}x{result['image_size']}"
    print(f"{name} on {result['n']} faces of {options.dataset}, {options.split}, {size}, seed {options.seed}\n")
    print(format_table(result), end="")
    if options.json is not None:
        _write(options.json, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())
    if options.grid is not None:
        _write_picture(options.grid, example_grid(model, faces, **kinds))
    return 0


def _load(options: argparse.Namespace) -> Inpainter:
    try:
        return Inpainter(options.model, options.device)
    except OSError as error:
        if options.model is None or options.model in str(error):
            raise
        raise OSError(f"{options.model}: {_one_line(error)}") from error  # the Hub's own errors may not name it


def _kinds(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return an argparse type: names with commas between, each one of `known`, or the word none."""

    def parse(text: str) -> tuple[str, ...]:
        kinds = () if text == "none" else tuple(dict.fromkeys(word.strip() for word in text.split(",")))
        for kind in kinds:
            if kind not in known:
                raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(known)}, none")
        return kinds

    return parse


def _pictures(folder: Path) -> list[Path]:
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] != "." and p.is_file())


def _mask_of(face: Path, folder: Path) -> Path:
    """Find the face's mask: the picture of the same name, or else the only one of the same stem."""
    if (folder / face.name).is_file():
        return folder / face.name
    found = [path for path in _pictures(folder) if path.stem == face.stem]
    if len(found) != 1:
        several = f"several masks fit: {', '.join(path.name for path in found)}"
        raise ValueError(several if found else f"no mask of this name in {folder}")
    return found[0]


def _refuse_overwriting(options: argparse.Namespace) -> None:
    """Refuse an output that is an input, or that cannot be what the input asks for, before any work is done."""
    face, mask, out = options.face, options.mask, options.out
    if face.is_dir():
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out} is a file; a folder of faces needs a folder to write to")
        target = out
    elif out.is_dir():
        target = out / f"{face.stem}.png"
    else:
        _format_of(out)
        target = out
    for path in (face, mask):
        if path is not None and target.exists() and target.samefile(path):
            raise ValueError(f"{target} is an input; write somewhere else, so that nothing is lost")


def _format_of(path: Path) -> tuple[str, dict[str, bool]]:
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: cannot be written without loss; end its name in {', '.join(_FORMATS)}")
    return _FORMATS[path.suffix.lower()]


def _write_picture(path: Path, picture: Image.Image) -> None:
    kind, arguments = _format_of(path)
    buffer = io.BytesIO()
    picture.save(buffer, kind, icc_profile=picture.info.get("icc_profile"), **arguments)
    _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, by way of a hidden one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
