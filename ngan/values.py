"""What the options of `python -m ngan` take: types for argparse, whose errors name the value and the rule."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ngan.hub import located

_MAX_SEED = 2**32 - 1  # as of a training


def path(text: str) -> Path:
    """Take a file or a folder."""
    return Path(_place(text, "a file or a folder"))


def out(text: str) -> str:
    """Take what is to be written as text: a path would lose the slash at its end, which tells a folder."""
    return _place(text, "a file or a folder")


def face(text: str) -> str:
    """Take a file, a folder or a pattern."""
    return _place(text, "a file, a folder or a pattern")


def source(text: str) -> str:
    """Take a folder or a Hub id."""
    return located(_filled_in(text, "a folder or a Hub id, or leave it out"))


def configuration(text: str) -> str:
    """Take the name of a data set's configuration."""
    return _filled_in(text, "a configuration, or leave it out")


def _place(text: str, what: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):  # which, as a path, would lose a slash
        raise argparse.ArgumentTypeError(f"{text}: addresses are neither read nor written; give {what}")
    return _filled_in(text, what)


def _filled_in(text: str, what: str) -> str:
    if not text:  # which, as a path, would be the current folder
        raise argparse.ArgumentTypeError(f"its value is empty; name {what}")
    return text


def seed(text: str) -> int:
    """Take a number that NumPy takes as a seed."""
    if not text.isdecimal() or int(text) > _MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 to {_MAX_SEED:,}")
    return int(text)


def kinds(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a type that takes names with commas between, each one of `known`, or the word none."""

    def parse(text: str) -> tuple[str, ...]:
        named = () if text == "none" else tuple(dict.fromkeys(word.strip() for word in text.split(",")))
        for kind in named:
            if kind not in known:
                raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(known)}, none")
        return named

    return parse
