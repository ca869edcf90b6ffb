"""Command lines as people write them: dashes and underscores are alike, what is nearly right is told."""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

_UNKNOWN = "unrecognized arguments: "  # how argparse begins to say so
_MISSING = "the following arguments are required: "
_NO_CHOICE = re.compile(r"argument .*: invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)


def did_you_mean(given: Iterable[str], known: Mapping[str, str]) -> str:
    """Return the question that ends an error on unknown words, "" if nothing comes near.

    Args:
        given: the words.
        known: those that would be right, by how they are compared.
    """
    nearest = [known[near] for word in given for near in difflib.get_close_matches(word, known, 1, 0.75)]
    return f"; did you mean {', '.join(dict.fromkeys(nearest))}?" if nearest else ""


class Parser(argparse.ArgumentParser):
    """An `argparse.ArgumentParser` to which --batch-size is --batch_size, and the other way round."""

    _given: Sequence[str] = ()  # words before a "--"

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        end = words.index("--") if "--" in words else len(words)  # behind it stand no options
        spelled, self._given = self._spelled(), words[:end]
        return super().parse_known_args([_respelled(word, spelled) for word in words[:end]] + words[end:], namespace)

    def error(self, message: str) -> NoReturn:
        super().error(message + self.nearest(message))

    def nearest(self, message: str) -> str:
        """Return what ends an error of argparse's on words that it does not know; "" of another.

        What is required is found missing before an unknown option is: then that is the word to ask about.
        """
        if found := _NO_CHOICE.match(message):
            return did_you_mean([found[1]], {name.strip("'"): name.strip("'") for name in found[2].split(", ")})
        spelled, words = self._spelled(), message.removeprefix(_UNKNOWN).split()
        if message.startswith(_MISSING):
            words = self._given
        elif not message.startswith(_UNKNOWN):
            return ""
        given = [_plain(word) for word in words if word.startswith("--")]
        unknown = [word for word in given if not any(option.startswith(word) for option in spelled)]
        return did_you_mean(unknown, spelled)

    def _spelled(self) -> dict[str, str]:
        return {_plain(option): option for option in self._option_string_actions if option.startswith("--")}


def _plain(word: str) -> str:
    return word.partition("=")[0].replace("_", "-")


def _respelled(word: str, spelled: dict[str, str]) -> str:
    name, equals, value = word.partition("=")
    return spelled.get(_plain(word), name) + equals + value if word.startswith("--") else word
