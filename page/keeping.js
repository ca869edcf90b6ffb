() => {
  // A server keeps a photo for an hour, and not beyond its own end; the page has the file still. If a press is answered by
  // that, the page opens the photo once more by itself, and what is painted on it stays.
  const WORDS =
    'The server had not kept the photo, so it was opened once more. Your painting is still here: press the button again.';
  const status = document.querySelector('#status');
  let [given, kept, again] = [null, null, null]; // a file on its way, {file, sprite} on the canvas, the one sent once more
  window.addEventListener(
    'change',
    ({ target }) => {
      const opens = target.matches('#open input, [data-testid^="Open a photo"]');
      if (opens && target.files.length) given = { file: target.files[0] };
    },
    true
  );
  window.addEventListener('click', ({ target }) => target.closest('#examples button') && (given = { file: null }), true);
  const told = () => {
    const wrong = status.querySelector('.prose .wrong');
    if (!wrong) return;
    const tried = again;
    [given, again] = [null, null]; // if it was refused, that is told so
    const photo = window.editor && window.editor.background_image;
    const same = kept && kept.file && photo && !photo.destroyed && photo === kept.sprite;
    if (!wrong.matches('.gone') || !same || tried) return;
    const input = document.querySelector('#open input[type=file], input[data-testid$="Open a photo-upload-button"]');
    const carrier = new DataTransfer();
    carrier.items.add(kept.file);
    input.files = carrier.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
    again = given;
    window.dispatchEvent(new CustomEvent('besides', { detail: WORDS }));
  };
  new MutationObserver((changes) => {
    const nodes = changes.map(({ target }) => (target.closest ? target : target.parentElement)).filter(Boolean);
    if (nodes.some((node) => node.closest('.prose'))) told();
  }).observe(status, { childList: true, characterData: true, subtree: true });
  const nothing = ({ width, height }) => Object.assign(document.createElement('canvas'), { width, height }).toDataURL();
  const put_back = async (canvas, paint) => {
    await canvas.add_layers_from_url(paint);
    const undo = () => setTimeout(() => canvas.add_layers_from_url([nothing(canvas)]));
    await canvas.execute_command({ name: 'Paint', execute: () => {}, undo });
    canvas.notify('change');
  };
  const keep_paint = (canvas) => {
    const add_image = canvas.add_image_from_url.bind(canvas);
    canvas.add_image_from_url = async (url) => {
      const [arrived, same] = [given || kept, Boolean(given) && given === again];
      [given, again] = [null, null];
      const paint = same ? await canvas.paint() : [];
      await add_image(url);
      kept = arrived && { file: arrived.file, sprite: canvas.background_image };
      if (paint.length) setTimeout(put_back, 0, canvas, paint); // what is done while it loads, the editor does not send
    };
  };
  new MutationObserver(() => {
    const canvas = window.editor;
    if (!canvas || !canvas.mended || canvas.keeps) return; // after page.js
    canvas.keeps = true;
    keep_paint(canvas);
  }).observe(document.body, { childList: true, subtree: true });
}
