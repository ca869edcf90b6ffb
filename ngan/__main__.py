"""The command line: `python -m ngan inpaint` fills faces; evaluate, info and export measure, describe and convert a
model.

Exit status: 0 = all went well, 1 = some pictures could not be filled, 2 = the command could not be carried out, 128 +
its number after a signal: 130 after Ctrl-C, 143 after a scheduler's SIGTERM.
Whatever is written appears whole or not at all.
"""

import argparse
import io
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

_INTERRUPTED = "ngan: interrupted; the same command goes on"

try:  # they take seconds, in which Ctrl-C is to end as it does later
    import torch

    from ngan import __version__, commands, values
    from ngan.batch import REPORTED, one_line
    from ngan.damage import DAMAGE_KINDS
    from ngan.hub import CRISP, EMBEDDED
    from ngan.masks import MASK_KINDS
    from ngan.onnx_model import OPSET
    from ngan.options import Parser
    from ngan.runner import BACKENDS
    from ngan.saving import FORMATS, JPEG, LOSSLESS
    from ngan.stopping import Stop, end_with_launcher
except KeyboardInterrupt:
    print(_INTERRUPTED, file=sys.stderr)
    sys.exit(130)

_PROGRAM = "python -m ngan"
_EXAMPLES = """examples:
  python -m ngan inpaint face.jpg mask.png -o filled.png
  python -m ngan inpaint photos/ masks/ -o filled/
  python -m ngan info
each command tells more: python -m ngan inpaint --help; to train: python train_accelerate.py --help
"""
_INPAINT = """Fill the damage of faces. Known pixels come back bit for bit, in the same format, with EXIF (turned
upright, without its thumbnail), colour profile, resolution and text; a JPEG becomes a PNG, because JPEG cannot keep
its pixels.

An output that exists is left alone and counted as done: a run that was stopped goes on with the same command."""
_INPAINT_EXAMPLES = """examples:
  one face; white in the mask is filled:
    python -m ngan inpaint face.jpg mask.png -o filled.png
  without a mask, the model finds the damage:
    python -m ngan inpaint old-print.jpg --find-damage -o mended.png
  a folder, its masks by name (0007.jpg: masks/0007.png); --recursive takes its subfolders too:
    python -m ngan inpaint photos/ masks/ -o filled/ --recursive
  a pattern, in quotes, so that the shell leaves it alone:
    python -m ngan inpaint 'photos/**/*.jpg' masks/ -o filled/ --report report.json
  JPEG in, JPEG out, with its own quantisation tables; pixels outside the mask then change a little, by rounding:
    python -m ngan inpaint photos/ masks/ -o filled/ --format same
  a data set with a column of masks; outputs are named by row number:
    python -m ngan inpaint --dataset org/faces --split test --image-column image --mask-column mask -o filled/
  a data set or folder shared out among the processes of a launcher, each on a GPU of its own:
    accelerate launch --multi_gpu --num_processes 8 -m ngan inpaint photos/ masks/ -o filled/
"""
_EVALUATE_EXAMPLES = """examples:
  python -m ngan evaluate --dataset celeba178 --split validation --masks center,box,freeform --json out.json
  all that stands in a model's card, measured anew and written there:
    python -m ngan evaluate --model runs/x/model --dataset celeba178 --update-card \\
        --masks center,box,freeform,feature --self-ensemble --off-frame --differences
"""
_INFO_EXAMPLES = """examples:
  python -m ngan info
  python -m ngan info --model org/ngan-celeba --json info.json
"""
_EXPORT = """Write a model as ONNX, any number of pictures of any height and width, and compare it with the original.
Inputs, float32: image (N, 3, H, W) in [-1, 1]; mask (N, 1, H, W), 1 = missing, 0 = known, 0.5 = to be found.
Outputs: code_image, location (logits, positive = damaged), image_output, and composite, the filled picture."""
_EXPORT_EXAMPLES = """examples:
  python -m ngan export -o model.onnx
  python -m ngan export --model org/ngan-celeba -o celeba.onnx --opset 20
it needs more packages: pip install onnx onnxscript onnxruntime
"""


class _Parser(Parser):
    def error(self, message: str) -> NoReturn:
        question = self.nearest(message)
        if message.startswith("unrecognized arguments") and not message.split()[2].startswith("-"):
            filling = self.prog.endswith(" inpaint")
            message += "; a pattern such as 'photos/*.jpg' needs quotes" if filling else "; --model names a model"
        self.exit(2, f"ngan: error: {message}{question} ({self.prog} --help tells more)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `python -m ngan`; None = those of this process.

    Returns:
        The exit status.

    Raises:
        SystemExit: status 2 for words that do not parse, 0 for --help.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table has signs and names that an ASCII terminal has not
    stop = Stop()
    try:
        words = sys.argv[1:] if arguments is None else list(arguments)
        options, unknown = _parser().parse_known_args([*words[1:], "--help"] if words[:1] == ["help"] else words)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        with stop:
            end_with_launcher()
            return options.run(options)
    except (*REPORTED, ImportError) as error:
        print(f"ngan: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        return 128 + (stop.number or signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    program = "ngan" if Path(sys.argv[0]).stem == "ngan" else _PROGRAM  # by the script that pip installs
    parser = _Parser(
        prog=program,
        description="Face inpainting by a nested GAN.",
        epilog=_EXAMPLES.replace(_PROGRAM, program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"ngan {__version__}, PyTorch {torch.__version__}"
    parser.add_argument("-V", "--version", action="version", version=version, help="tell the versions and stop")
    group = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, **texts: str) -> argparse.ArgumentParser:
        texts = {kind: text.replace(_PROGRAM, program) for kind, text in texts.items()}
        words = group.add_parser(name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts)
        words.set_defaults(run=run, parser=words)
        return words

    _add_inpaint_options(
        command(
            "inpaint",
            commands.inpaint,
            help="fill the damage of a face, of a folder of faces or of a data set",
            description=_INPAINT,
            epilog=_INPAINT_EXAMPLES,
        )
    )
    _add_evaluate_options(
        command(
            "evaluate",
            commands.evaluate,
            help="measure a model on a set of faces",
            description="Measure a model on a set of faces: PSNR, SSIM and L1 by kind of hole, beside OpenCV's\n"
            "Telea, and how well it finds damage by itself, by kind of damage. Prints Markdown tables.",
            epilog=_EVALUATE_EXAMPLES,
        )
    )
    info = command(
        "info",
        commands.info,
        help="tell a model's size, cost and figures",
        description="Tell where a model is loaded from, its size, its cost for one picture and its card's figures.",
        epilog=_INFO_EXAMPLES,
    )
    info.add_argument("--json", metavar="FILE", type=values.path, help="write all of it to FILE")
    export = command(
        "export",
        commands.export,
        help="write a model as ONNX",
        description=_EXPORT,
        epilog=_EXPORT_EXAMPLES,
    )
    export.add_argument("-o", "--out", metavar="FILE", type=values.path, required=True, help="file to write, .onnx")
    export.add_argument(
        "--opset", metavar="N", type=int, default=OPSET, help="ONNX operator set, 18 to 23 (default: %(default)s)"
    )
    for words in (info, export):
        _add_model_option(words)
    return parser


def _add_inpaint_options(inpaint: argparse.ArgumentParser) -> None:
    inpaint.add_argument(
        "face",
        metavar="FACE",
        type=values.face,
        nargs="?",
        help="a picture, a folder of pictures or a quoted pattern, which leaves out what lies within OUT and MASK",
    )
    inpaint.add_argument(
        "mask",
        metavar="MASK",
        type=values.path,
        nargs="?",
        help="white where FACE is to be filled, of FACE's size (turned upright); for a folder or pattern, a folder of "
        "masks with the faces' names (extensions may differ)",
    )
    inpaint.add_argument("--find-damage", action="store_true", help="instead of MASK: let the model find the damage")
    inpaint.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        type=values.out,
        required=True,
        help=f"file to write ({', '.join((*LOSSLESS, *JPEG))}; JPEG changes known pixels, by rounding), or folder, "
        "where each face becomes a file of its name; a new one for one face ends in a slash",
    )
    inpaint.add_argument("--recursive", action="store_true", help="of a folder: subfolders too, their names kept")
    inpaint.add_argument("--overwrite", action="store_true", help="fill again what has an output already")
    inpaint.add_argument(
        "--format",
        choices=FORMATS,
        default="lossless",
        help="of the files in a folder: lossless (default: the face's own format, PNG for JPEG and others that lose), "
        "same (JPEG for JPEG too: known pixels change, by rounding), or one for all",
    )
    inpaint.add_argument(
        "--strip-metadata", action="store_true", help="write neither EXIF, XMP, resolution nor text; the profile stays"
    )
    inpaint.add_argument(
        "--report",
        metavar="FILE",
        type=values.path,
        help="write what was filled, what to know of it, and what failed, as JSON",
    )
    inpaint.add_argument(
        "--backend",
        choices=BACKENDS,
        default="torch",
        help="onnx: MODEL is an exported file, run by ONNX Runtime on the CPU (default: %(default)s)",
    )
    inpaint.add_argument(
        "--no-self-ensemble",
        action="store_true",
        help="do not take the mean with the mirror image: twice as fast in the networks, and a little worse",
    )
    inpaint.add_argument(
        "--no-refiner", action="store_true", help="enlarge what the networks filled without drawing it in more detail"
    )
    rows = inpaint.add_argument_group("instead of FACE and MASK")
    rows.add_argument(
        "--dataset",
        metavar="D",
        type=values.source,
        help="a data set on the Hub, as org/name[@revision], or a data set folder, such as parquet",
    )
    _add_dataset_config_option(rows)
    rows.add_argument("--split", help="split of the data set (default: train)")
    _add_image_column_option(rows)
    rows.add_argument("--mask-column", metavar="M", help="of the masks; without it, --find-damage")
    _add_model_option(inpaint)
    _add_device_option(inpaint)


def _add_evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "--dataset",
        metavar="D",
        type=values.source,
        required=True,
        help="a folder of pictures, a data set folder or a data set on the Hub, as org/name[@revision]",
    )
    _add_dataset_config_option(evaluate)
    evaluate.add_argument("--split", default="validation", help="split of the data set (default: %(default)s)")
    _add_image_column_option(evaluate)
    evaluate.add_argument(
        "--masks",
        metavar="KINDS",
        type=values.kinds(MASK_KINDS),
        default="center,box,freeform",
        help=f"holes, of {', '.join(MASK_KINDS)}, with commas between; or none (default: %(default)s)",
    )
    evaluate.add_argument(
        "--damages",
        metavar="KINDS",
        type=values.kinds(DAMAGE_KINDS),
        default=",".join(DAMAGE_KINDS),
        help="damage to be found without a mask, with commas between; or none (default: %(default)s)",
    )
    evaluate.add_argument("--limit", metavar="N", type=int, help="take the first N faces only")
    evaluate.add_argument(
        "--seed", metavar="S", type=values.seed, default=0, help="of holes and damage (default: %(default)s)"
    )
    evaluate.add_argument(
        "--self-ensemble", action="store_true", help="measure the mean with the mirror image too, as `inpaint` fills"
    )
    evaluate.add_argument(
        "--off-frame",
        action="store_true",
        help="measure faces off their framing too, as they are found in photos: up to 18 %% in size, 6 %% of the "
        "side in place, 8 degrees",
    )
    evaluate.add_argument(
        "--differences",
        action="store_true",
        help="measure thirds of the faces too, by brightness, symmetry and rarity",
    )
    evaluate.add_argument(
        "--update-card", action="store_true", help="write the figures into the card and results.json of M, a folder"
    )
    evaluate.add_argument("--json", metavar="FILE", type=values.path, help="write all figures to FILE")
    evaluate.add_argument("--grid", metavar="FILE", type=values.path, help="write a picture of some examples to FILE")
    _add_model_option(evaluate)
    _add_device_option(evaluate)


def _add_model_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        type=values.source,
        help=f"folder or Hub id of a model, or {CRISP.name}, which comes with ngan too: its fills are crisper and "
        f"further from the truth (default: NGAN_MODEL if that is set, else {EMBEDDED.name})",
    )


def _add_device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")


def _add_dataset_config_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--dataset-config-name",
        metavar="NAME",
        type=values.configuration,
        help="configuration (subset) of the data set (default: its default or only one)",
    )


def _add_image_column_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--image-column", metavar="C", help="of the faces, where there are several")


if __name__ == "__main__":
    sys.exit(main())
