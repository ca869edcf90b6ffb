"""What the page shows of a result: the squares of the faces, the stages of each, and what to know, in words."""

import base64
import html
import io
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ngan.faces import Face
from ngan.inference import Result, Stages
from ngan.job import NO_FACE, NO_FACE_MARKED, PART_ELSEWHERE
from page.canvas import PAINT
from page.photos import Unusable

MAX_FACES = 64  # squares of a person's choice that are filled at a time
STAGE_SIDE = 320  # longest side of a stage as it is shown, in pixels

_STAGES = (
    ("corrupted", "What it is given", "The painted part is taken out. From here on nothing of it is known."),
    (
        "code_image",
        "The inner network's sketch",
        "A first, smaller GAN guesses what is missing: blurry, but eyes, nose and mouth stand where they belong.",
    ),
    (
        "location",
        "Where it sees damage",
        "The same network's map: the brighter, the surer it is that this is damaged.",
    ),
    ("final", "The outer network's picture", "A second GAN turns sketch and map into the picture. You get this."),
)
INTRODUCTION = (
    "Two generators, one nested in the other. Each was trained against critics that try to tell its pictures "
    "from real faces: one critic for the sketch, one for the whole picture, one for the filled part alone."
)
_FIRST = ("Limits", "Terms", "License", "Data")  # sections of a model card that its user needs most
_LONG = ("## Training", "## Figures", "## Citation")
NOTHING_INSIDE = f"<p>{INTRODUCTION} Fill a picture to see each step here.</p>"


def small(picture: Image.Image, side: int) -> Image.Image:
    """A copy with its longest side at most `side` pixels; the picture itself if it is no larger."""
    if max(picture.size) <= side:
        return picture
    copy = picture.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def thumbnail(picture_file: Path, mask_file: Path | None) -> Image.Image:
    """A small picture of an example, painted where its mask is white."""
    picture = small(Image.open(picture_file).convert("RGB"), STAGE_SIDE)
    if mask_file:
        mask = Image.open(mask_file).convert("L").resize(picture.size, Image.Resampling.BOX)
        picture.paste(PAINT[:3], mask=mask.point(lambda value: value * PAINT[3] // 255))
    return picture


def share(part: float) -> str:
    """A share in [0, 1] in words."""
    return f"{part:.1%}" if part >= 0.001 else "less than 0.1%"


def stages_html(inside: Sequence[Stages]) -> str:
    """The stages of every face, a row each, with a sentence under each picture."""
    rows = [f"<p>{INTRODUCTION}</p>"]
    for number, stages in enumerate(inside, 1):
        if len(inside) > 1:
            rows.append(f"<h3>Face {number}</h3>")
        figures = []
        for name, title, sentence in _STAGES:
            source = _data_url(small(getattr(stages, name), STAGE_SIDE))
            of = f" of face {number}" if len(inside) > 1 else ""
            figures.append(
                f'<figure><img src="{source}" alt="{html.escape(title)}{of}">'
                f"<figcaption><strong>{html.escape(title)}</strong> {html.escape(sentence)}</figcaption></figure>"
            )
        rows.append(f'<div class="stages">{"".join(figures)}</div>')
    return "".join(rows)


def squares(
    canvas: Image.Image,
    size: tuple[int, int],
    faces: Sequence[Face],
    filled: Sequence[Face] = (),
    edited: bool = False,
) -> dict:
    """The value of the face picker: a small picture and the squares on it, in pixels of the photo.

    Args:
        canvas: the photo, small.
        size: (width, height) of the photo, in pixels.
        faces: known faces.
        filled: those of them that were filled.
        edited: whether a person chose them; they are then used as they stand.
    """
    known = [*filled, *(face for face in faces if not any(_same(face, other) for other in filled))]
    boxes = [
        {"x": face.x, "y": face.y, "side": face.side, "angle": face.angle, "by": "found", "filled": face in filled}
        for face in known
    ]
    return {"image": _data_url(canvas), "width": size[0], "height": size[1], "faces": boxes, "edited": edited}


def chosen_faces(
    value: dict[str, Any] | None, size: tuple[int, int]
) -> list[Face | tuple[float, float, float, float]] | None:
    """Read the face picker.

    Args:
        value: what the picker holds; it comes from the page, so anything may be in it.
        size: (width, height) of the photo, in pixels.

    Returns:
        As `Inpainter.fill` takes faces: None if nobody changed anything; for a square that a person added the
        rectangle, in which the face is then looked for.

    Raises:
        Unusable: a value that the page does not make.
    """
    if not isinstance(value, dict) or not value.get("edited"):
        return None
    known = known_faces(value)
    if len(known) > MAX_FACES:
        raise Unusable(f"{len(known)} faces are marked; at most {MAX_FACES} can be filled at a time. Remove some.")
    faces: list[Face | tuple[float, float, float, float]] = []
    for entry, face in zip(value.get("faces") or [], known, strict=True):
        half = face.side / 2
        left, top = max(0.0, face.x - half), max(0.0, face.y - half)
        right, bottom = min(float(size[0]), face.x + half), min(float(size[1]), face.y + half)
        if right - left < 8 or bottom - top < 8:
            raise Unusable("A face's square lies outside of the picture or is too small. Move it or remove it.")
        faces.append((left, top, right, bottom) if entry.get("by") == "added" else face)
    return faces


def known_faces(value: dict[str, Any] | None) -> list[Face]:
    """The squares that a face picker holds.

    Raises:
        Unusable: a value that the page does not make.
    """
    if not isinstance(value, dict):
        return []
    entries = value.get("faces") or []
    try:
        faces = [Face(*(float(entry[name]) for name in ("x", "y", "side", "angle"))) for entry in entries]
    except (TypeError, KeyError, ValueError) as error:
        raise Unusable("The squares of the faces cannot be read. Open the photo again.") from error
    if any(max(abs(face.x), abs(face.y), face.side) > 1e6 for face in faces):
        raise Unusable("A face's square lies far outside of the picture. Move it or remove it.")
    return faces


def summary(
    result: Result,
    size: tuple[int, int],
    seconds: float,
    chosen: bool = False,
    of_file: bool = True,
    clear: bool = False,
) -> str:
    """What happened, in words, as HTML; never twice the same, so that it is spoken each time.

    Args:
        result: what came of it.
        size: (width, height) of the photo, in pixels.
        seconds: that it took.
        chosen: whether a person chose the faces; then none was looked for.
        of_file: whether the photo is a file; one from a camera may have been larger than the canvas that came of it.
        clear: whether something is painted that stays transparent.
    """
    if result.mask.getbbox() is None:
        return message(" ".join(result.notes) or "Nothing was filled.")
    count = len(result.faces)
    nowhere = any(note.startswith(NO_FACE) for note in result.notes)
    elsewhere = any(note.startswith((NO_FACE_MARKED, PART_ELSEWHERE)) for note in result.notes)
    if count:
        faces = ", 1 face" if count == 1 else f", {count} faces"
    else:
        faces = "" if nowhere or elsewhere else ", 1 face, the picture as a whole"
    whose = "the photo's full size" if of_file else "the canvas's size"
    done = f"Filled in {seconds:.1f} s{faces}. The result has {whose}, {size[0]} x {size[1]} pixels."
    notes = [note.replace(NO_FACE, "No face is marked:") if chosen else note for note in result.notes]
    if clear:
        notes.append("What is transparent around the picture stays so.")
    if nowhere or elsewhere:
        where = "a face there" if elsewhere else "one"
        notes.append(f"If there is {where}, add it under “Faces in the picture” and press Fill again.")
    return message(done, *notes).replace("<p", f'<p data-run="{time.time_ns()}"', 1)


def found_words(count: int) -> str:
    """How many faces were found, in words, as HTML."""
    if count == 0:
        return message("No face was found. Add it under “Faces in the picture”, or paint and press Fill all the same.")
    return message(f"{'1 face' if count == 1 else f'{count} faces'} found. Paint over what you want gone, press Fill.")


def message(*sentences: str, kind: str = "") -> str:
    """Sentences as one line of HTML that screen readers speak."""
    return f'<p class="{kind}">{" ".join(html.escape(sentence, quote=False) for sentence in sentences)}</p>'


def about(card: str) -> str:
    """A model card for the page: without front matter and pictures, limits and terms first, what is long folded."""
    if card.startswith("---"):
        card = card.partition("\n---\n")[2]
    lines = [line for line in card.splitlines() if not line.startswith(("![", "# ", "<!--"))]
    opening, *sections = (part.strip() for part in re.split(r"^(?=## )", "\n".join(lines), flags=re.MULTILINE))
    what, _, use = opening.partition("\n\n")
    first = [part for kind in _FIRST for part in sections if part.startswith(f"## {kind}")]
    rest = [_folded(part) for part in sections if part not in first]
    return "\n\n".join(part for part in (what, *first, use.strip(), *rest) if part)


def _folded(section: str) -> str:
    """A card's section, to be opened by its heading if it is one of the long ones."""
    heading, _, text = section.partition("\n")
    if not heading.startswith(_LONG):
        return section
    return f"<details><summary>{html.escape(heading[3:])}</summary>\n\n{text.strip()}\n\n</details>"


def _same(face: Face, other: Face) -> bool:
    return math.hypot(face.x - other.x, face.y - other.y) < 0.4 * max(face.side, other.side)


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=90)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
