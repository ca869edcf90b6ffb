"""Reads the comments of a dataclass: what its source says of each field, so that --help says the same."""

import ast
import inspect
import io
import textwrap
import tokenize


def field_comments(owner: type) -> dict[str, tuple[str, str]]:
    """Return, by field of a dataclass, the heading that it stands below, "" = none, and the comment that explains it.

    The comment stands behind its field, within its brackets or on lines of its own above it. One of a single word on a
    line of its own is the heading of all fields below it.

    Args:
        owner: the class; if its source is not there, as in a frozen program, nothing is returned.
    """
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except OSError:
        return {}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    (tree,) = ast.parse(source).body
    found, heading, above = {}, "", 1
    for field in tree.body:
        if isinstance(field, ast.AnnAssign):
            words = []
            for line in range(above, field.end_lineno + 1):
                text = comments.get(line, "")
                if line < field.lineno and text and " " not in text:
                    heading = text
                else:
                    words.append(text)
            found[field.target.id] = heading, " ".join(filter(None, words))
        above = field.end_lineno + 1
    return found
