"""Reads the comments of a dataclass: what its source says of each field, so that --help says the same."""

import inspect
import io
import tokenize


def field_comments(owner: type) -> dict[str, tuple[str, str]]:
    """Return the heading above each field of a dataclass, "" = none, and the comment that explains the field.

    A comment stands behind its field or on lines of its own above it; one of a single word, alone on its line, is the
    heading of the fields below it.

    Args:
        owner: the class; without its source, as in a frozen program, nothing is returned.
    """
    try:
        source = inspect.getsource(owner)
    except OSError:
        return {}
    found: dict[str, tuple[str, str]] = {}
    heading, said, name = "", [], None
    last = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            words = token.string.lstrip("# ")
            if name is None and " " not in words:
                heading = words
            else:
                said.append(words)
        elif token.type == tokenize.NAME and name is None:
            last = token.string
        elif token.type == tokenize.OP and token.string == ":" and name is None and token.start[1] > 0 and last:
            name = last
        elif token.type == tokenize.NEWLINE:
            if name is not None:
                found[name] = heading, " ".join(said)
            said, name, last = [], None, None
    return found
