"""The page: open a photo, paint over a part of a face, press Fill. One page of Gradio over `ngan.Inpainter`."""

import os
import signal
import sys

# Ctrl-C ends it without a traceback, also while the imports below take their seconds
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

from page.sweeping import keep_swept, own_folder

os.environ["GRADIO_TEMP_DIR"] = str(own_folder())  # Gradio reads both when it is imported
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import spaces  # ZeroGPU wants it imported before torch
except ImportError:
    spaces = None

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr

from ngan.hub import EMBEDDED
from ngan.inference import Result
from page import views
from page.canvas import PAINT, PAINT_SIDE
from page.handlers import Handlers
from page.models import load_inpainter
from page.photos import MAX_MEGAPIXELS, MAX_UPLOAD
from page.programs import Programs

ROOT = Path(__file__).parent
PAGE = ROOT / "page"
FOLDER = Path(os.environ["GRADIO_TEMP_DIR"])  # all files that the page and Gradio write
EXAMPLES = [  # caption, picture, mask; without one the damage is found
    ("Two faces", "wide.jpg", "wide_mask.png"),
    ("Scratches", "scratched.jpg", "scratched_mask.png"),
    ("Mouth", "astronaut.png", "astronaut_mouth.png"),
    ("No mask", "astronaut_marked.png", None),
]
BRUSH = ("#" + bytes(PAINT[:3]).hex(), PAINT[3] / 255)
KEPT_SECONDS = 2940  # files older than this are deleted
SWEPT_SECONDS = 600  # every so often: after an hour at most
WAITING = 64  # requests that may wait in the queue
SESSIONS = 100  # that Gradio remembers, at 0.1 MB each: more than wait in the queue, as each API call is one

HEAD = """
# Paint it over, get the face back
Open any photo, paint over what you want gone, press **Fill**. All else stays as it is, pixel for pixel.
"""
TERMS = """
What is drawn is a guess and may not be how the person looks: do not take it for the truth. The network draws a face at
{side} x {side} pixels, so on a large photo the filled part is softer than the rest. {weights} Photos of up to
{megapixels} megapixels are taken; they are used for nothing else and deleted within the hour.
"""
OWN_TERMS = "Its weights were trained on CelebA and are for **non-commercial research** only."
OTHER_TERMS = "What its weights were trained on, and what they may be used for, its card above says."
LOOKS = "Crisp: clear eyes and hair, more of it guessed. Careful: softer, on average closer to what was there."
CLOCK = "(...given) => [...given.slice(0, -1), performance.now()]"  # in the place of an event's last input
# functions, called once the page stands
SCRIPTS = ("staying.js", "sending.js", "leaving.js", "keys.js", "fingers.js", "sliding.js", "page.js", "keeping.js")
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
# Gradio's own are hard to read: of texts and what is behind them the lighter should be 4.5 times as light (WCAG 2, AA)
READABLE = {
    "body_text_color_subdued": "*neutral_500",
    "block_label_text_color": "*primary_700",
    "block_title_text_color": "*primary_700",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_hover_dark": "*primary_700",
    "button_secondary_background_fill_hover_dark": "*neutral_700",
    "checkbox_border_color": "*neutral_500",
    "checkbox_label_background_fill_selected": "*primary_600",
    "link_text_color_dark": "*secondary_400",
    "link_text_color_visited_dark": "*secondary_400",
}

loaded = load_inpainter()
looks = loaded.looks
usual = next(iter(looks))


def _fill(picture, mask, faces, look) -> Result:
    return looks[look or usual].fill(picture, mask, faces)


if spaces is not None:
    fill_photo = spaces.GPU(duration=15)(_fill)
else:  # always in one thread: torch keeps memory for every thread that calls it, and Gradio takes ever new ones
    worker = ThreadPoolExecutor(1)

    def fill_photo(picture, mask, faces, look) -> Result:
        return worker.submit(_fill, picture, mask, faces, look).result()


def _card() -> str:
    """The model's card, or where it is to be found."""
    card = Path(loaded.source) / "README.md"
    return (
        views.about(card.read_text(encoding="utf-8"))
        if card.is_file()
        else f"The model is `{loaded.source}` on the Hugging Face Hub."
    )


def _scripts() -> str:
    """The page's scripts as the one function that Gradio calls."""
    calls = [f"({(PAGE / name).read_text(encoding='utf-8').strip()})();" for name in SCRIPTS]
    return "() => {\n" + "\n".join(calls) + "\n}"


example_files = [(ROOT / "examples" / name, mask and ROOT / "examples" / mask) for _, name, mask in EXAMPLES]
handlers, programs = Handlers(fill_photo, FOLDER, example_files, KEPT_SECONDS), Programs(fill_photo, FOLDER)

with gr.Blocks(title="Face inpainting by a nested GAN") as demo:
    gr.Markdown(HEAD, elem_id="head")
    if loaded.notice:
        warning = f'<div role="alert">{views.message(loaded.notice, kind="wrong")}</div>'
        gr.HTML(warning, padding=False, elem_id="notice")
    photo = gr.Textbox(visible=False)  # the name under which the server remembers the opened photo
    asked = gr.Number(visible=False)  # when what is about to be opened was asked for, by the page's clock
    opened = gr.Textbox(visible=False)  # the same, if the file that was given last could be opened; else empty
    with gr.Row():
        with gr.Column():  # an editor straight inside a Row may measure the whole Row
            with gr.Row():
                opener = gr.UploadButton("Open a photo", variant="secondary", elem_id="open", min_width=120)
                mask_opener = gr.UploadButton("Mask file", elem_id="mask", min_width=120)
            editor = gr.ImageEditor(
                label="Photo",
                placeholder="Click here, drop or paste a photo",
                type="pil",
                image_mode="RGBA",
                format="png",
                sources=("upload", "clipboard", "webcam"),
                transforms=(),
                layers=False,
                canvas_size=(PAINT_SIDE, PAINT_SIDE),
                brush=gr.Brush(
                    default_size=18,
                    colors=[BRUSH],
                    default_color=BRUSH,
                    color_mode="fixed",
                ),
                eraser=gr.Eraser(default_size=18),
                height=520,
                elem_id="editor",
            )
            status = gr.HTML(views.message("Open a photo, or try an example."), elem_id="status")
            with gr.Row():
                fill = gr.Button("Fill", variant="primary", elem_id="fill", min_width=120)
                find = gr.Button("Find damage", elem_id="find", min_width=120)
                hole = gr.Button("Random hole", elem_id="hole", min_width=120)
            look = gr.Radio(
                list(looks),
                value=usual,
                label="Look of what is filled",
                info=LOOKS,
                visible=len(looks) > 1,
                elem_id="look",
            )
        with gr.Column():
            slider = gr.ImageSlider(
                label="Before and after",
                format="png",
                max_height=520,
                interactive=False,
                visible=False,
                buttons=["fullscreen"],  # its download would save the reduced copy that is shown
                elem_id="slider",
            )
            with gr.Row():
                download = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="download")
                lossless = gr.DownloadButton("Download PNG (lossless)", visible=False, elem_id="lossless")
            note = gr.Markdown(elem_id="note")
            gr.Markdown("**No photo at hand?** One click fills an example.", elem_id="try")
            examples = gr.Gallery(
                [(views.thumbnail(*files), title) for files, (title, *_) in zip(example_files, EXAMPLES, strict=True)],
                label="Examples",
                show_label=False,
                columns=2,
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples",
            )
    with gr.Accordion("Faces in the picture", open=False) as faces_part:
        picker = gr.HTML(
            None,
            html_template=(PAGE / "faces.html").read_text(encoding="utf-8"),
            css_template=(PAGE / "faces.css").read_text(encoding="utf-8"),
            js_on_load=(PAGE / "faces.js").read_text(encoding="utf-8"),
            elem_id="faces",
        )
    with gr.Accordion("Look inside", open=False):
        inside = gr.HTML(views.NOTHING_INSIDE, elem_id="inside")
    with gr.Accordion("About the model", open=False):
        gr.Markdown(_card(), elem_id="about")
    terms = OWN_TERMS if loaded.source == str(EMBEDDED) else OTHER_TERMS
    size = loaded.inpainter.model.image_size
    gr.Markdown(TERMS.format(side=size, megapixels=MAX_MEGAPIXELS, weights=terms), elem_id="terms")

    results = [slider, inside, download, lossless, note, picker, photo, examples, status]
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    network = {"concurrency_limit": 1, "concurrency_id": "network"}
    mask_opener.upload(handlers.open_mask, [mask_opener, editor, photo], [editor, photo, status], **quiet)
    busy = {"show_progress_on": [status], "api_visibility": "private"}
    hole.click(handlers.random_hole, [editor, photo, picker], [editor, photo, status], **busy)
    find.click(handlers.mark_damage, [editor, photo, picker], [editor, status], **busy, **network)
    filling = fill.click(handlers.fill_painted, [editor, photo, picker, look], results, **busy, **network)
    again = look.input(
        handlers.fill_again,
        [editor, photo, picker, note, look],  # not the download: its file may be gone
        results,
        trigger_mode="always_last",
        **busy,
        **network,
    )

    def try_example(look: str, when: float, chosen: gr.SelectData, request: gr.Request) -> tuple:
        return handlers.try_example(chosen.index, request, when, look)

    def open_photo(path: str | None, when: float | None, request: gr.Request | None = None) -> tuple:
        return handlers.open_photo(path, request, when)

    # "multiple": the one that is clicked last is the one that stays
    example = examples.select(
        try_example, [look, asked], [editor, *results], js=CLOCK, trigger_mode="multiple", **busy, **network
    )
    of_before = [slider, inside, download, lossless, note]
    opener.upload(
        open_photo,
        [opener, asked],
        [editor, photo, opened, picker, status, *of_before],
        js=CLOCK,
        cancels=[filling, again, example],  # those that wait; a running one sees itself that its photo is gone
        **quiet,
    ).success(handlers.find_faces, opened, [picker, status, faces_part], **quiet, **network)

    # What programs call: plain files in, a plain file out
    image_in, mask_in = gr.File(label="image", visible=False), gr.File(label="mask", visible=False)
    file_out = gr.File(label="filled", visible=False)
    mask_out = gr.File(label="damage", visible=False)
    called = gr.Button(visible=False)
    called.click(programs.inpaint, [image_in, mask_in], file_out, api_name="inpaint", **network)
    if len(looks) > 1:
        called.click(programs.inpaint_careful, [image_in, mask_in], file_out, api_name="inpaint_careful", **network)
    called.click(programs.find_damage, image_in, mask_out, api_name="find_damage", **network)

demo.queue(max_size=WAITING)
kept = {file for block in demo.blocks.values() for file in block.keep_in_cache}  # the examples' pictures
keep_swept(FOLDER.parent, KEPT_SECONDS, SWEPT_SECONDS, kept)

if __name__ == "__main__":
    mcp = os.environ.get("NGAN_MCP") == "1"
    if mcp and importlib.util.find_spec("mcp") is None:
        raise SystemExit('NGAN_MCP=1 needs the MCP extra of Gradio: pip install "gradio[mcp]"')
    demo.launch(
        theme=gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=FONT).set(**READABLE),
        css_paths=PAGE / "page.css",
        js=_scripts(),
        max_file_size=MAX_UPLOAD,
        state_session_capacity=SESSIONS,
        enable_monitoring=False,
        run_history=False,
        mcp_server=mcp,
        footer_links=["api"],
    )
