"""The command line of scripts that measure several models on the faces of one data set."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ngan.card import public
from ngan.data import FaceSet, load_faces
from ngan.model import NGAN


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that these scripts share."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--models", required=True, nargs="+", help="folders or Hub ids")
    parser.add_argument("--dataset", required=True, help="faces, as for python -m ngan evaluate")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--limit", type=int, help="faces to measure on; default: all")
    parser.add_argument("--json", type=Path, help="file for the result")
    return parser


def run(
    program: str,
    options: argparse.Namespace,
    measure: Callable[[NGAN, FaceSet], Any],
    format_table: Callable[[dict[str, Any]], str],
) -> int:
    """Measure each model, write the JSON, print the table; return the exit status.

    Args:
        program: its name, before an error.
        options: as parsed.
        measure: returns what the result holds of a model.
        format_table: of the result: data set, split, number of faces, and what `measure` returned of each model.
    """
    try:
        if options.json and not options.json.parent.is_dir():
            raise ValueError(f"--json {options.json}: no such folder")  # now rather than after the measuring
        result: dict[str, Any] = {"dataset": public(options.dataset), "split": options.split, "models": {}}
        for source in options.models:
            if public(source) in result["models"]:
                raise ValueError(f"--models {source}: another one is called {public(source)} too; rename its folder")
            model = NGAN.from_pretrained(source).eval()
            faces = load_faces(
                options.dataset, options.split, image_size=model.image_size, limit=options.limit, in_memory=True
            )
            result["n"] = len(faces)
            result["models"][public(source)] = measure(model, faces)
    except (ValueError, OSError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(format_table(result))
    return 0
