() => {
  // The line between before and after, moved by keys; Gradio's hears of pointers alone and has no name. A finger that
  // strokes a result that is seen whole scrolls the page: Gradio would hold it fast.
  const NAME = 'Before and after: left of this line the picture before, right of it the filled one';
  const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 }; // percent
  const ENDS = { Home: 0, End: 100 };

  const share = (line) => {
    const across = new DOMMatrix(getComputedStyle(line).transform).m41 / line.parentElement.clientWidth;
    return Math.round(Math.min(Math.max(across, 0), 1) * 1000) / 10;
  };
  const say = (line) => {
    const at = share(line);
    line.ariaValueNow = String(at);
    line.ariaValueText = `${Math.round(at)} % before`;
  };
  const move = (line, percent) => {
    const place = line.parentElement.getBoundingClientRect();
    const clientX = place.left + (Math.min(Math.max(percent, 0), 100) / 100) * place.width;
    const pointer = { bubbles: true, cancelable: true, view: window, clientX, clientY: place.top + place.height / 2 };
    line.dispatchEvent(new MouseEvent('mousedown', pointer));
    for (const kind of ['mousemove', 'mouseup']) window.dispatchEvent(new MouseEvent(kind, pointer));
  };
  const lead = (line) => {
    Object.assign(line, { tabIndex: 0, role: 'slider', ariaLabel: NAME, ariaValueMin: '0', ariaValueMax: '100' });
    line.addEventListener('keydown', (event) => {
      const { key } = event;
      if (!(key in STEPS || key in ENDS) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move(line, key in ENDS ? ENDS[key] : share(line) + STEPS[key]);
    });
    new MutationObserver(() => say(line)).observe(line, { attributeFilter: ['style'] });
    say(line);
  };
  window.addEventListener(
    'touchstart',
    (event) => {
      const image = event.target.closest('#slider:not(.fullscreen) .image-container')?.querySelector('img');
      const whole = image && new DOMMatrix(getComputedStyle(image).transform).a === 1;
      if (whole && event.touches.length === 1 && !event.target.closest('[data-testid="slider"]')) event.stopPropagation();
    },
    true
  );
  new MutationObserver(() => {
    const line = document.querySelector('#slider [data-testid="slider"]');
    if (line && line.role !== 'slider') lead(line);
  }).observe(document.body, { childList: true, subtree: true });
}
