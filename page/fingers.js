() => {
  // Two fingers zoom the canvas and move it, and so do the hand and a trackpad. Gradio's editor paints a bar from finger to
  // finger, its hand moves nothing where there is a touch screen, and a wheel over a photo that is seen whole goes nowhere.
  const fingers = new Map(); // on the canvas, by their pointers' names
  let [pinching, last] = [false, null];
  const on_canvas = (event) => {
    const { app, background_image: photo } = window.editor || {};
    return Boolean(photo && !photo.destroyed && app && app.renderer && event.target === app.renderer.canvas);
  };
  const zoom_tool = () => window.editor.tools.get('zoom');
  const place = ({ clientX, clientY }) => {
    const { left, top } = window.editor.app.renderer.canvas.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  };
  const between = () => {
    const [one, other] = [...fingers.values()];
    const apart = Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
    return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, apart };
  };
  const fit_scale = (zoom) => {
    const { width, height } = zoom.local_dimensions;
    return Math.min(1, zoom.calculate_min_zoom(width, height));
  };
  // What of the photo lay at `from` comes to lie at `to`; some of it stays in the middle.
  const move = (from, to, times) => {
    const zoom = zoom_tool();
    const { local_scale: before, local_position: corner, local_dimensions: size } = zoom;
    const { width, height } = window.editor.app.screen;
    const scale = Math.min(Math.max(before * times, fit_scale(zoom)), zoom.max_zoom);
    const along = (axis, side, whole) =>
      Math.min(Math.max(to[axis] - ((from[axis] - corner[axis]) * scale) / before, whole / 2 - side * scale), whole / 2);
    const position = { x: along('x', size.width, width), y: along('y', size.height, height) };
    window.editor.set_image_properties({ scale, position, animate: false });
    zoom.min_zoom.set(scale <= fit_scale(zoom));
  };
  const drop_stroke = () => {
    const brush = window.editor.tools.get('brush');
    if (!brush.is_drawing) return;
    brush.is_drawing = false;
    brush.brush_textures.preview_sprite.visible = false; // not on the layer yet
  };
  const swallow = (event) => pinching && event.stopImmediatePropagation();
  const down = (event) => {
    if (event.pointerType !== 'touch' || !on_canvas(event)) return;
    if (event.isPrimary) { // the first one, also if it was not heard that those before went up
      fingers.clear();
      pinching = false;
    }
    fingers.set(event.pointerId, place(event));
    if (fingers.size === 2) {
      pinching = true;
      drop_stroke();
      last = between();
    }
    swallow(event);
  };
  const moved = (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, place(event));
    swallow(event);
    if (!pinching || fingers.size !== 2) return;
    const now = between();
    move(last, now, now.apart / last.apart);
    last = now;
  };
  const up = ({ pointerId }) => {
    if (!fingers.delete(pointerId)) return;
    if (fingers.size === 2) last = between(); // of three
    if (fingers.size) return;
    if (pinching && zoom_tool().local_scale <= 1.02 * fit_scale(zoom_tool())) zoom_tool().set_zoom('fit');
    pinching = false; // not before the last finger is up: the one that stays would paint
  };
  window.addEventListener('pointerdown', down, true);
  window.addEventListener('pointermove', moved, true);
  ['pointerup', 'pointercancel'].forEach((kind) => window.addEventListener(kind, up, true));

  const wheel = (event) => {
    if (!on_canvas(event)) return;
    const { ctrlKey, altKey, metaKey, deltaMode, deltaY } = event;
    const whole = zoom_tool().local_scale <= 1.001 * fit_scale(zoom_tool());
    if (ctrlKey) {
      event.preventDefault(); // two fingers on a trackpad come as a wheel with Ctrl
      move(place(event), place(event), Math.exp(-Math.min(Math.max(deltaY * (deltaMode ? 20 : 1), -25), 25) / 100));
    } else if (altKey || metaKey || !whole) return;
    event.stopImmediatePropagation(); // there is nothing to move: the page is
  };
  window.addEventListener('wheel', wheel, { capture: true, passive: false });

  // Where there is a touch screen, the editor listens for events that never hold what it looks for in them.
  const mend_hand = () => {
    const { app, tools } = window.editor || {};
    const zoom = tools && tools.get('zoom');
    if (!('ontouchstart' in window) || !zoom || !app || !app.stage || zoom.mended) return;
    zoom.mended = true;
    app.stage.on('pointerdown', zoom.handle_pointer_down, zoom);
    app.stage.on('pointermove', zoom.handle_pointer_move, zoom);
    ['pointerup', 'pointerupoutside'].forEach((kind) => app.stage.on(kind, zoom.handle_pointer_up, zoom));
  };
  new MutationObserver(mend_hand).observe(document.body, { childList: true, subtree: true });
}
