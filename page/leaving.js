() => {
  // A reload, Back or a closed tab takes all paint away: the browser asks first, while there is some that is in no
  // downloaded result. What was done to the canvas is a chain, which Undo goes back along.
  const WORK = ['Draw', 'Paint']; // strokes, and what the server painted over them
  const status = document.querySelector('#status');
  const now = () => window.editor && window.editor.command_manager.history;
  let [run, pressed, filled, kept] = ['', {}, {}, {}]; // the latter three: how far the chain had come
  let [coming, early] = [false, false]; // paint of the server's, and Fill pressed once it is told of but not yet there
  const at_work = () => status.querySelector('[data-testid="status-tracker"]')?.textContent.trim();
  const has_work = () => {
    const photo = window.editor && window.editor.background_image;
    if (!photo || photo.destroyed) return false;
    for (let done = now(); done && done !== kept.at; done = done.previous) {
      if (done.command && WORK.includes(done.command.name)) return true;
    }
    return false;
  };
  new MutationObserver(() => {
    const words = status.querySelector('[data-run]');
    if (words && words.dataset.run !== run) [run, filled] = [words.dataset.run, pressed];
  }).observe(status, { childList: true, subtree: true });
  window.addEventListener(
    'click',
    ({ target }) => {
      if (target.closest('#hole, #find')) [coming, early] = [true, false];
      if (target.closest('#fill, #look input')) [pressed, early] = [{ at: now() }, coming && !at_work()];
      if (target.closest('#download, #lossless')) kept = filled;
    },
    true
  );
  window.addEventListener(
    'change',
    ({ target }) => target.matches('#mask input, [data-testid^="Mask file"]') && ([coming, early] = [true, false]),
    true
  );
  window.addEventListener('painted', () => {
    if (early) pressed.at = now(); // what was filled has it
    [coming, early] = [false, false];
  });
  window.addEventListener('beforeunload', (event) => has_work() && event.preventDefault());
}
