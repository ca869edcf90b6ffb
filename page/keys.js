() => {
  // By keys what the mouse does on the canvas, and in words what only the eye is told.
  const STEP = 8; // pixels on the screen by which an arrow key moves the brush
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const NAME = 'The photo, to paint on. Arrow keys move the brush, with Shift by a pixel; Space begins and ends a stroke.';
  const status = document.querySelector('#status');
  const spoken = document.body.appendChild(document.createElement('div'));
  spoken.className = 'spoken';
  spoken.role = 'status';
  const speak = (words) => spoken.textContent !== words && (spoken.textContent = words);

  // The editor hears of pointers alone.
  const keep_keys = (canvas) => {
    let [brush, down] = [null, false]; // from the canvas's left upper corner, in pixels on the screen
    let led = false; // by keys; after a click on the canvas they scroll the page, as they do elsewhere
    const point = (kind) => {
      const { x, y } = canvas.getBoundingClientRect();
      const pointer = { pointerId: 1, pointerType: 'mouse', isPrimary: true, button: kind === 'pointermove' ? -1 : 0 };
      const place = { clientX: x + brush[0], clientY: y + brush[1], buttons: Number(down) };
      canvas.dispatchEvent(new PointerEvent(kind, { ...pointer, ...place, bubbles: true, cancelable: true }));
    };
    const press = (pressed) => {
      if (pressed === down) return;
      down = pressed;
      point(down ? 'pointerdown' : 'pointerup');
      speak(down ? 'A stroke has begun.' : 'The stroke has ended.');
    };
    canvas.addEventListener('keydown', (event) => {
      const ours = led && !(event.ctrlKey || event.metaKey || event.altKey);
      if (!ours || !(STEPS[event.key] || event.key === ' ')) return;
      event.preventDefault();
      const sides = [canvas.clientWidth, canvas.clientHeight];
      brush ||= sides.map((side) => side / 2);
      if (event.key === ' ') return event.repeat || (point('pointermove'), press(!down));
      const step = event.shiftKey ? 1 : STEP;
      brush = brush.map((at, axis) => Math.min(Math.max(at + step * STEPS[event.key][axis], 0), sides[axis]));
      point('pointermove');
    });
    canvas.addEventListener('focus', () => (led = canvas.matches(':focus-visible')));
    canvas.addEventListener('pointerdown', (event) => (led &&= !event.isTrusted));
    canvas.addEventListener('blur', () => press(false));
    canvas.addEventListener('pointermove', (event) => {
      if (event.isTrusted) brush = [event.offsetX, event.offsetY];
    });
  };

  const of_canvas = (name) => document.querySelector(`#editor button[aria-label="${name}"]`);
  window.addEventListener('keydown', (event) => {
    const asked = (event.ctrlKey || event.metaKey) && /^z$/i.test(event.key) && !event.defaultPrevented;
    const tool = of_canvas(event.shiftKey ? 'Redo' : 'Undo');
    if (!asked || !tool || event.target.closest('input:not([type=radio]), textarea, [contenteditable]')) return;
    event.preventDefault();
    tool.click();
  });

  const name_canvas = () => {
    const { renderer } = (window.editor && window.editor.app) || {};
    const canvas = renderer && renderer.canvas;
    if (!canvas || canvas.tabIndex === 0) return;
    Object.assign(canvas, { tabIndex: 0, role: 'application', ariaLabel: NAME }); // to that, arrow keys are left
    document.querySelectorAll('#editor canvas').forEach((other) => other === canvas || (other.ariaHidden = 'true'));
    keep_keys(canvas);
  };
  const name_tools = () =>
    ['Brush', 'Erase'].map(of_canvas).forEach((tool) => {
      const held = String(Boolean(tool && tool.classList.contains('highlight')));
      if (tool && tool.ariaPressed !== held) tool.ariaPressed = held;
    });
  // Gradio's clock of a press changes ten times a second: it is not read out, that it runs is.
  const name_work = () => {
    const tracker = status.querySelector('[data-testid="status-tracker"]');
    if (tracker && tracker.ariaLive !== 'off') tracker.ariaLive = 'off';
    const works = Boolean(tracker && tracker.textContent.trim());
    if (works !== (status.ariaBusy === 'true')) {
      status.ariaBusy = String(works);
      speak(works ? 'Working…' : '');
    }
  };
  new MutationObserver(() => [name_canvas, name_tools, name_work].forEach((name) => name())).observe(document.body, {
    attributeFilter: ['class'],
    characterData: true,
    childList: true,
    subtree: true,
  });
}
