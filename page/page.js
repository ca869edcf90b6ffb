() => {
  // The page's own words, in place of the server's until that has more to say. They are a paragraph of their own: if the
  // server says what it said last, its own paragraph is left as it stands.
  const status = document.querySelector('#status');
  const line = (name) => {
    const made = () => Object.assign(document.createElement('p'), { className: name });
    return status.querySelector(`.${name}`) || status.appendChild(made());
  };
  const say = (words, kind = '') => {
    const own = line('own');
    own.className = `own ${kind}`;
    own.textContent = words;
  };
  const say_besides = (words) => (line('besides').textContent = words); // until the next press or file
  const LOW = matchMedia('(max-height: 500px) and (min-width: 500.02px)'); // as in page.css: a phone that lies
  // A photo on its way: what is painted before it is on the canvas is lost, so until then nothing asks for it. The server
  // is done before that; if the canvas takes no picture soon after, it has it already.
  const SOON = 5000; // ms
  let arriving = null;
  const unsay = () => !arriving && status.querySelector('.own') && say('');
  const arrived = (photo = arriving) => {
    if (!arriving || photo !== arriving) return;
    clearTimeout(arriving.timer);
    arriving = null;
    unsay();
  };
  new MutationObserver((changes) => {
    const nodes = changes.map(({ target }) => (target.closest ? target : target.parentElement)).filter(Boolean);
    const tracker = status.querySelector('[data-testid="status-tracker"]');
    // emptied: the server has answered, maybe in the words that stand there already
    const answered = !lost && tracker && !tracker.textContent.trim() && nodes.some((node) => tracker.contains(node));
    const told = nodes.some((node) => node.closest('.prose'));
    const wrong = status.querySelector('.prose .wrong');
    if (told && wrong) arrived();
    else if ((answered || told) && arriving && !arriving.loads) {
      clearTimeout(arriving.timer); // if it was refused in the words that stand there, nothing follows at all
      arriving.timer = setTimeout(arrived, wrong ? 500 : SOON, arriving);
    }
    if (answered || told) unsay();
  }).observe(status, { childList: true, characterData: true, subtree: true });
  // Gradio goes on waiting for an answer when a request does not reach the server; pressing the button again does work.
  let lost = false;
  const AWAY = 'The server cannot be reached. Your painting is still here: press the button again once it can.';
  const BACK = 'The server can be reached again, and your painting is still here. Press the button again.';
  const away = () => {
    lost = true;
    arrived();
    say(AWAY, 'wrong');
  };
  window.addEventListener('away', away); // this and the next by staying.js
  window.addEventListener('back', () => lost && say(BACK));
  window.addEventListener('besides', ({ detail }) => say_besides(detail)); // by keeping.js
  window.addEventListener('offline', () => say(AWAY, 'wrong'));
  window.addEventListener('online', () => {
    if (lost) say(BACK);
    else unsay();
  });
  window.addEventListener('unhandledrejection', (event) => {
    const reason = String(event.reason && event.reason.message);
    const refused = reason.match(/^HTTP \d+/);
    if (!refused && !reason.startsWith('Connection errored out')) return;
    event.preventDefault();
    if (refused) arrived();
    if (refused) return say(`The server did not take what was sent (${refused[0]}). Press the button again.`, 'wrong');
    window.dispatchEvent(new Event('away'));
  });
  const has_photo = () => {
    const photo = window.editor && window.editor.background_image;
    return Boolean(photo && !photo.destroyed);
  };
  // A photo given to the canvas itself takes the way of the button too: the canvas would encode and send a phone photo
  // three times over, half a minute of it, show no word on a file that is no picture, and keep no original.
  const hand_over = (event, files) => {
    const name = event.type === 'drop' && event.target.closest('#mask') ? ['mask', 'Mask file'] : ['open', 'Open a photo'];
    const input = document.querySelector(`#${name[0]} input[type=file], input[data-testid$="${name[1]}-upload-button"]`);
    const [file] = files || [];  // an empty one too, to be refused in words
    if (!input || !file) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const carrier = new DataTransfer();
    carrier.items.add(file);
    input.files = carrier.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
    if (files.length > 1) say_besides(`One file at a time: of the ${files.length}, only ${file.name} was taken.`);
  };
  const on_canvas = (event) => event.target.closest && event.target.closest('#editor');
  window.addEventListener(
    'change',
    (event) => event.target.type === 'file' && on_canvas(event) && hand_over(event, event.target.files),
    true
  );
  // Beside the canvas too: there, a browser would leave the page and show the file.
  window.addEventListener(
    'dragover',
    (event) => event.dataTransfer && event.dataTransfer.types.includes('Files') && event.preventDefault(),
    true
  );
  window.addEventListener('drop', (event) => event.dataTransfer && hand_over(event, event.dataTransfer.files), true);
  window.addEventListener(
    'paste',
    (event) => event.clipboardData && event.clipboardData.files.length && hand_over(event, event.clipboardData.files),
    true
  );
  window.addEventListener(
    'click',
    async (event) => {
      const button = on_canvas(event) && event.target.closest('button[aria-label="Paste from clipboard"]');
      if (!button || !navigator.clipboard || !navigator.clipboard.read) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const items = await navigator.clipboard.read();
      for (const item of items) {
        const type = item.types.find((name) => name.startsWith('image/'));
        if (!type) continue;
        const blob = await item.getType(type);
        hand_over(event, [new File([blob], `pasted.${type.slice(6)}`, { type })]);
        return;
      }
    },
    true
  );
  // A layer that comes from the server is laid out in the bounds of all that is on the canvas, and the brush keeps there
  // the size of the picture before: found damage would lie beside where it is. The picture's own size is the right one.
  const mend_bounds = (canvas) => {
    const { image_container: container } = canvas;
    const measure = container.getLocalBounds.bind(container);
    container.getLocalBounds = (...given) => {
      const bounds = measure(...given);
      [bounds.x, bounds.y, bounds.width, bounds.height] = [0, 0, canvas.width, canvas.height];
      return bounds;
    };
  };
  // As often as it sends them, Gradio has the pictures drawn anew, which takes a while: whoever asks while that goes on
  // gets the next drawing. A photo that the server sent, and that is there still, needs none: it is as it came. The photo
  // with its paint, all in one, is drawn too, and used by nobody: it is left out.
  const draw_seldom = (canvas) => {
    const add_image = canvas.add_image_from_url.bind(canvas);
    let given = {};
    canvas.add_image_from_url = async (url) => {
      await add_image(url);
      const picture = fetch(url).then((answer) => (answer.ok ? answer.blob() : null));
      given = { sprite: canvas.background_image, picture: picture.catch(() => null) };
    };
    const draw = async () => {
      const { sprite, picture } = given;
      const photo = sprite && sprite === canvas.background_image && !sprite.destroyed && (await picture);
      const parts = { image_container: { value: null }, ...(photo && { background_layer: { value: null } }) };
      const drawn = await Object.create(canvas.layer_manager, parts).get_blobs(canvas.width, canvas.height);
      return photo ? { ...drawn, background: photo } : drawn;
    };
    let busy = Promise.resolve();
    let next = null;
    canvas.get_blobs = () => {
      next ||= busy.then(() => {
        next = null;
        const drawing = draw();
        busy = drawing.catch(() => {});
        return drawing;
      });
      return next;
    };
  };
  // What the server paints takes the place of all that was painted, also while it was on its way: Undo brings that back,
  // as long as the picture stays the same.
  let painting = false;
  window.addEventListener(
    'click',
    (event) => {
      const { target } = event;
      if (!target.closest('#fill, #hole, #find, #examples button')) return;
      if (arriving && !has_photo() && !target.closest('#examples')) {
        event.stopImmediatePropagation();
        return say('The photo is still being opened. Press the button again once you see it.');
      }
      lost = false;
      unsay();
      say_besides('');
      if (target.closest('#hole, #find')) painting = true;
      if (!target.closest('#examples')) return;
      painting = false;
      arrived();
    },
    true
  );
  window.addEventListener(
    'change',
    ({ target }) => {
      if (target.type !== 'file' || !target.files.length || target.closest('#editor')) return;
      lost = false;
      say_besides('');
      painting = target.matches('#mask input, [data-testid^="Mask file"]');
      arrived();
      if (!painting) arriving = {};
      say(painting ? 'Opening the mask file…' : 'Opening the photo…'); // on a slow line it takes a while to be sent
    },
    true
  );
  const data_url = (blob) =>
    new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(blob);
    });
  // Red words are of the canvas as it was: they go once Undo or Redo has changed that.
  const say_next = () => {
    if (status.querySelector('.prose .wrong')) say('Paint over what you want gone, press Fill.');
    else unsay();
  };
  window.addEventListener(
    'click',
    async (event) => {
      const button = on_canvas(event) && event.target.closest('button[aria-label="Undo"], button[aria-label="Redo"]');
      if (!button || lost || arriving || !status.querySelector('.prose .wrong')) return;
      const soon = () => new Promise((done) => setTimeout(done, 100));
      for (let tries = 0; !tries || (tries < 50 && !has_photo()); tries += 1) await soon();
      if (lost || arriving) return;
      if (has_photo()) say_next();
      else unsay();
    },
    true // the button's picture is another by the time the event comes up
  );
  // "Clear canvas" takes the photo away as well, and leaves Gradio nothing to undo: here Undo brings all of it back, until
  // another photo comes.
  const keep_cleared = (canvas) => {
    const [add_image, reset] = [canvas.add_image_from_url, canvas.reset_canvas].map((f) => f.bind(canvas));
    let [photos, clearing, emptied] = [0, false, null];
    canvas.reset_canvas = () => (emptied = reset());
    canvas.add_image_from_url = (url) => {
      photos += 1;
      return add_image(url);
    };
    const bring_back = async (photo, layers) => {
      await add_image(photo);
      const { layer_manager: manager } = canvas;
      [...manager.get_layers()].forEach(({ id }) => manager.delete_layer(id));
      for (const layer of layers) await manager.add_layer_from_url(layer);
      canvas.tools.get('zoom').set_zoom('fit');
      document.querySelector('#editor button[aria-label="Brush"]').click();
      canvas.notify('change');
      say_next();
    };
    window.addEventListener(
      'click',
      async (event) => {
        const button = on_canvas(event) && event.target.closest('button[aria-label="Clear canvas"]');
        const photo = canvas.background_image;
        if (!button || clearing || !photo || photo.destroyed) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        clearing = true;
        const { background, layers } = await canvas.get_blobs();
        const [picture, ...paint] = await Promise.all([background, ...layers].map(data_url));
        button.click();
        clearing = false;
        await emptied;
        const then = photos;
        const undo = () => setTimeout(() => then === photos && bring_back(picture, paint));
        await canvas.execute_command({ name: 'Clear', execute: () => {}, undo });
        say('The canvas is empty. Undo brings back what was on it.');
      },
      true
    );
  };
  // With another photo there is nothing to undo but what was done to it, and its own opening, which leaves the canvas empty:
  // Gradio would put the photo before back, whose file the server no longer goes by.
  const forget_before = ({ command, previous }) => {
    if (!command || command.name !== 'AddImage') return;
    command.previous_image = null;
    previous.previous = null;
  };
  const keep_undo = (canvas) => {
    const [add_image, add_layers] = [canvas.add_image_from_url, canvas.add_layers_from_url].map((f) => f.bind(canvas));
    let before = [];
    canvas.paint = async () => Promise.all((await canvas.get_blobs()).layers.map(data_url)); // for keeping.js too
    canvas.add_image_from_url = async (url) => {
      unsay();
      const photo = painting ? null : arriving;
      if (photo) {
        clearTimeout(photo.timer);
        photo.loads = true;
      }
      before = painting ? await canvas.paint() : [];
      const kept = painting;
      try {
        await add_image(url);
        if (!kept) forget_before(canvas.command_manager.history);
      } finally {
        if (photo) arrived(photo);
        if (photo && LOW.matches) document.querySelector('#editor').scrollIntoView({ block: 'start' });
      }
    };
    canvas.add_layers_from_url = async (urls) => {
      await add_layers(urls);
      const layers = before;
      const undo = () => setTimeout(() => add_layers(layers)); // later, as it clears the list that Undo goes by
      if (!layers.length) return;
      await canvas.execute_command({ name: 'Paint', execute: () => {}, undo });
      window.dispatchEvent(new Event('painted')); // for leaving.js
    };
  };
  // The tools cover no part of a photo. On a phone, where they lie above and below, it is as wide as the canvas if they
  // leave room for its height. (A canvas that takes the height of its photo was tried: on a busy machine the editor then
  // lost what was painted.)
  const [NARROW, TOOLS, STRIP, GAP] = [760, 50, 50, 8]; // in pixels; 760 as in page.css
  const EDGE = matchMedia('(pointer: coarse)').matches ? TOOLS : 36; // 36: below the label
  const fit_photo = (canvas) => {
    const { width, height, target_element: place } = canvas;
    const fit = (beside, above) => { // the editor knows one border for all sides
      const zoom = Math.min((place.clientWidth - 2 * beside) / width, (place.clientHeight - 2 * above) / height);
      return Math.min(place.clientWidth - zoom * width, place.clientHeight - zoom * height) / 2;
    };
    const [beside, above] = LOW.matches ? [STRIP, GAP] : innerWidth < NARROW ? [GAP, TOOLS] : [STRIP, EDGE];
    canvas.tools.get('zoom').border_padding = fit(beside, above);
  };
  const mend = () => {
    const canvas = window.editor;
    if (!canvas || !canvas.image_container || canvas.mended) return;
    canvas.mended = true;
    mend_bounds(canvas);
    draw_seldom(canvas);
    keep_cleared(canvas);
    keep_undo(canvas);
    canvas.dimensions.subscribe(() => fit_photo(canvas));
    window.addEventListener('resize', () => fit_photo(canvas)); // a phone is turned; after that, Gradio fits the photo
  };
  // On a phone or an upright tablet the result lies below the canvas: once it is there, it is brought into view, as tall as it then is.
  let shown = '';
  const show_result = async () => {
    const words = status.querySelector('[data-run]');
    const slider = document.querySelector('#slider');
    if (!words || words.dataset.run === shown || !slider || !slider.querySelector('img')) return;
    shown = words.dataset.run;
    const beside = slider.getBoundingClientRect().top < document.querySelector('#editor').getBoundingClientRect().bottom;
    if (beside && !LOW.matches) return;
    await Promise.allSettled([...slider.querySelectorAll('img')].map((image) => image.decode()));
    slider.scrollIntoView({ block: 'start' });
  };
  // what Gradio leaves unsaid to a screen reader, but for the canvas and what is at work: see keys.js
  const name_parts = () => {
    document.querySelectorAll('#examples button:has(.caption-label)').forEach((button) => {
      button.ariaLabel = `Example: ${button.querySelector('.caption-label').textContent}`;
    });
    const images = document.querySelectorAll('#slider img');
    images.forEach((image, index) => image.alt || (image.alt = index ? 'The filled picture' : 'The picture before'));
  };
  const is_toast = (node) => node.querySelector && node.querySelector('[data-testid="toast-body"]');
  new MutationObserver((changes) => {
    mend();
    show_result();
    name_parts();
    // what is told there has come of what was said
    if (!lost && changes.some(({ addedNodes }) => [...addedNodes].some(is_toast))) {
      arrived();
      unsay();
    }
  }).observe(document.body, { childList: true, subtree: true });
  status.setAttribute('aria-live', 'polite');
}
