"""The page: open a face, paint over a part of it, press Fill. One page of Gradio over `ngan.Inpainter`."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # Gradio reads it when it is imported

try:
    import spaces  # ZeroGPU wants it imported before torch
except ImportError:
    spaces = None

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from ngan.inference import Inpainter, Stages
from ngan.pictures import PictureError, on_white, read_picture

PAINT_SIDE = 768  # longest side of what is painted on, in pixels: every press uploads the canvas as it is
SHOW_SIDE = 1600  # longest side of what the slider shows, in pixels; the download always has the picture's own size
INSIDE_SIDE = 512  # longest side of the stages in the gallery, in pixels
EXAMPLES = Path(__file__).parent / "examples"

HEAD = """
# Paint it over, get it back
Open a picture of a face, paint over what you want gone, press **Fill**. All else stays as it is, pixel for pixel.
"""
NOTES = """
Works best on a picture cropped square around one face that looks at the camera. The network draws at {side} pixels a
side and the filled part is enlarged to fit, so it is softer than a large photo. What it draws may not be how the
person looks: do not take it for the truth. Its weights were trained on CelebA and are for **non-commercial research**
only. Your pictures are not kept: they are deleted within the hour and used for nothing else.
"""
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
CSS = """
.gradio-container {max-width: 1180px !important; margin: 0 auto !important}
#head h1 {margin-bottom: 4px}
#notes {font-size: 13px; opacity: .8}
#inside .grid-wrap {min-height: 150px !important}
@media (min-width: 760px) {#slider {min-height: 568px}}
@media (max-width: 640px) {
  #editor {height: 420px !important}
  #inside .grid-container {grid-template-columns: repeat(2, 1fr) !important}
}
"""
# A photo given to the canvas itself takes the way of the button too: the canvas would encode and send a phone photo
# three times over, half a minute of it, show no word on a file that is no picture, and keep no original.
JS = """
() => {
  const hand_over = (event, files) => {
    const input = document.querySelector('input[data-testid$="-upload-button"]');
    if (!input || !files || !files.length || !event.target.closest('#editor')) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const carrier = new DataTransfer();
    carrier.items.add(files[0]);
    input.files = carrier.files;
    input.dispatchEvent(new Event('change', {bubbles: true}));
  };
  window.addEventListener('change', (e) => e.target.type === 'file' && hand_over(e, e.target.files), true);
  window.addEventListener('drop', (e) => hand_over(e, e.dataTransfer && e.dataTransfer.files), true);
}
"""

inpainter = Inpainter()


def _on_gpu(function: Callable) -> Callable:
    return function if spaces is None else spaces.GPU(duration=15)(function)


@_on_gpu
def _stages(picture: Image.Image, mask: Image.Image | None) -> Stages:
    return inpainter.stages(picture, mask)


def open_photo(path: str | None) -> tuple[Any, Any]:
    """Put a small copy of an opened photo on the canvas; phone photos would take it half a minute.

    Args:
        path: the uploaded file.

    Returns:
        The editor's new value, and what `fill_painted` needs to find the photo again.
    """
    try:
        picture = read_picture(path)
    except PictureError:
        # gr.Error would leave the editor's waiting sign on for ever
        gr.Warning("This file is not a picture that can be used (JPEG, PNG, WebP; 16 pixels to 100 megapixels).")
        return gr.skip(), gr.skip()
    return _canvas(picture, path)


def fill_painted(value: dict | None, photo: dict | None = None) -> tuple:
    """Fill what is painted over.

    Args:
        value: the editor's value: background and layers; what has any colour on a layer is filled.
        photo: what `open_photo` returned beside the canvas; not for programs.

    Returns:
        Before and after, the stages, and the result as a PNG file of the picture's own size.
    """
    picture, painted = _read_editor(value, photo)
    if not painted.any():
        raise gr.Error("Nothing is painted yet: paint over the part to fill.", print_exception=False)
    if painted.all():
        raise gr.Error("Everything is painted: leave some of the face to go by.", print_exception=False)
    mask = Image.fromarray(painted.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    return _show(picture, mask)


def fill_found(value: dict | None, photo: dict | None = None) -> tuple:
    """Find damage (plain colours and noise best) and fill it; what is painted makes no difference.

    Args:
        value: the editor's value.
        photo: what `open_photo` returned beside the canvas; not for programs.

    Returns:
        Before and after, the stages, and the result as a PNG file of the picture's own size.
    """
    picture, _ = _read_editor(value, photo)
    return _show(picture, None)


def fill_files(image: str | None, mask: str | None = None) -> tuple:
    """Fill a picture file where a mask file is white.

    Args:
        image: file of a picture.
        mask: file of a mask of the same size, white = fill; without it, damage is found and filled.

    Returns:
        Before and after, the stages, and the result as a PNG file of the picture's own size.
    """
    if image is None:
        raise gr.Error("Choose a picture file first.", print_exception=False)
    try:
        picture = read_picture(image)
    except PictureError as error:
        raise gr.Error("The picture file cannot be read or has an unusable size.", print_exception=False) from error
    if mask is None:
        return _show(picture, None)
    try:
        marked = Image.open(mask)
        marked.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise gr.Error("The mask file is not a picture that can be read.", print_exception=False) from error
    return _show(picture, marked)


def _canvas(picture: Image.Image, path: str) -> tuple[dict, dict]:
    small = on_white(picture)
    small.thumbnail((PAINT_SIDE, PAINT_SIDE), Image.Resampling.LANCZOS)
    return {"background": small, "layers": [], "composite": None}, {"path": path, "canvas": _digest(small)}


def _digest(picture: Image.Image) -> str:
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()


def _read_editor(value: dict | None, photo: dict | None) -> tuple[Image.Image, np.ndarray]:
    """The picture (the photo itself if the canvas still shows it) and what is painted, (H, W) of the canvas, bool."""
    if not value or value.get("background") is None:
        raise gr.Error("Open a picture first.", print_exception=False)
    background = ImageOps.exif_transpose(value["background"])
    painted = np.zeros((background.height, background.width), bool)
    for layer in value.get("layers") or []:
        alpha = ImageOps.exif_transpose(layer).convert("RGBA").getchannel("A")
        painted |= np.asarray(alpha.resize(background.size, Image.Resampling.NEAREST)) > 0
    painted = _without_specks(painted)
    if photo and photo["canvas"] == _digest(on_white(background)):
        try:
            return read_picture(photo["path"]), painted
        except FileNotFoundError as error:
            text = "The photo was deleted from this server because it lay there for an hour. Open it again."
            raise gr.Error(text, print_exception=False) from error
    opaque = background.mode != "RGBA" or background.getchannel("A").getextrema()[0] == 255
    return background.convert("RGB") if opaque else background, painted


def _without_specks(painted: np.ndarray) -> np.ndarray:
    """Drop marks thinner than two pixels: the eraser leaves such dots at the rim of a stroke."""
    core = painted[1:, 1:] & painted[:-1, 1:] & painted[1:, :-1] & painted[:-1, :-1]
    kept = np.zeros_like(painted)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            kept[rows, columns] |= core
    return kept


def _show(picture: Image.Image, mask: Image.Image | None) -> tuple:
    try:
        stages = _stages(picture, mask)
    except PictureError as error:  # names sizes and modes: a path it never sees
        raise gr.Error(f"This cannot be filled. {error}", print_exception=False) from error
    if stages.mask.getbbox() is None:
        gr.Info("No damage was found: the picture is as it was. Paint over the part to fill.")
    inside = [
        (_small(stages.corrupted, INSIDE_SIDE), "1 Given"),
        (_small(stages.code_image, INSIDE_SIDE), "2 Code"),
        (_small(stages.location, INSIDE_SIDE), "3 Damage"),
        (_small(stages.final, INSIDE_SIDE), "4 Final"),
    ]
    file = (
        Path(tempfile.mkdtemp(dir=download.GRADIO_CACHE)) / "filled.png"
    )  # in the cache, it is deleted with the rest
    stages.final.save(file, compress_level=1)
    return (_small(picture, SHOW_SIDE), _small(stages.final, SHOW_SIDE)), inside, str(file)


def _small(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


with gr.Blocks(title="Face inpainting by a nested GAN", delete_cache=(600, 3000)) as demo:
    gr.Markdown(HEAD, elem_id="head")
    photo = gr.State()
    with gr.Row():
        with gr.Column():  # an editor straight inside a Row may measure the whole Row
            opener = gr.UploadButton(
                "Open a photo", file_types=["image"], variant="secondary", size="md", elem_id="open"
            )
            editor = gr.ImageEditor(
                label="Picture",
                placeholder="Drop a picture of a face here",
                type="pil",
                image_mode="RGBA",
                format="png",
                sources=("upload", "clipboard", "webcam"),
                transforms=(),
                layers=False,
                brush=gr.Brush(
                    default_size=18, colors=[("#ff2d8b", 0.6)], default_color=("#ff2d8b", 0.6), color_mode="fixed"
                ),
                eraser=gr.Eraser(default_size=18),
                height=520,
                elem_id="editor",
            )
            with gr.Row():
                fill = gr.Button("Fill", variant="primary", elem_id="fill")
                find = gr.Button("Find the damage for me", elem_id="find")
            gr.Examples(
                [
                    [{"background": str(EXAMPLES / name), "layers": [], "composite": None}]
                    for name in ("astronaut.png", "astronaut_marked.png")
                ],
                [editor],
                label="No picture at hand? Try one of these",
            )
        with gr.Column():
            slider = gr.ImageSlider(label="Before and after", format="png", max_height=520, elem_id="slider")
            download = gr.DownloadButton("Download the result", interactive=False, elem_id="download")
    with gr.Accordion("Look inside", open=False) as look:
        inside = gr.Gallery(
            label="The four stages", show_label=False, format="png", columns=4, object_fit="contain", elem_id="inside"
        )
    with gr.Accordion("Use a mask file", open=False):
        gr.Markdown("White in the mask is filled; it must have the picture's size. Without a mask, damage is found.")
        with gr.Row():
            image_file = gr.File(label="Picture", file_types=["image"])
            mask_file = gr.File(label="Mask", file_types=["image"])
        fill_file = gr.Button("Fill the file", elem_id="fill_file")
    gr.Markdown(NOTES.format(side=inpainter.model.image_size), elem_id="notes")

    results = [slider, inside, download]
    opener.upload(open_photo, opener, [editor, photo], api_visibility="private")
    for button, function, inputs, name in (
        (fill, fill_painted, [editor, photo], "inpaint"),
        (find, fill_found, [editor, photo], "inpaint_found"),
        (fill_file, fill_files, [image_file, mask_file], "inpaint_mask"),
    ):
        filled = button.click(function, inputs, results, api_name=name, concurrency_limit=1, concurrency_id="network")
        filled.success(
            lambda: (gr.DownloadButton(interactive=True), gr.Accordion(open=True)),
            None,
            [download, look],
            show_progress="hidden",
            api_visibility="private",
        )

demo.queue(max_size=16)

if __name__ == "__main__":
    demo.launch(
        theme=gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=FONT),
        css=CSS,
        js=JS,
        max_file_size="64mb",
        enable_monitoring=False,
        run_history=False,
        footer_links=["api"],
    )
