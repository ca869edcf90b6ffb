// The face picker: squares over a small copy of the photo, to drag, resize, turn, add and remove by mouse, finger or keys.
// `element`, `props`, `trigger` and `watch` come from gr.HTML. Coordinates are pixels of the photo.
const WHOLE = 60; // side in pixels on the screen of the smallest square whose handles are drawn at their full size
const HANDLE = 10.5 / WHOLE; // half of what a handle then takes up, in sides; the middle of a square always moves it
const SVG = 'http://www.w3.org/2000/svg';
let value = null;
let drag = null;
let chosen = -1;
let before = []; // the squares as they were before each change, for Undo
let last = ''; // and as they were last handed in

const make = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, v]) => node.setAttribute(key, v));
  return parent.appendChild(node);
};

const squares = () => JSON.stringify({ faces: value.faces, edited: value.edited });

const publish = () => {
  last = squares();
  props.value = JSON.parse(JSON.stringify(value));
  draw();
};

const hand_in = () => {
  if (squares() === last) return draw(); // clicked at, but not moved
  before.push(last);
  value.edited = true;
  publish();
};

const undo = () => {
  if (!before.length || drag) return;
  Object.assign(value, JSON.parse(before.pop()));
  publish();
};

// What a handle takes up at the border of the drawing, in pixels of the photo: it is as large on a small screen.
const dot = () => (innerWidth < 760 ? 0.06 : 0.03) * Math.max(value.width, value.height);

// How far the drawing goes on beyond the photo, in its pixels: squares of close portraits are larger than the photo.
const overhang = () => {
  const longest = Math.max(value.width, value.height);
  const beyond = value.faces.map(({ x, y, side }) =>
    Math.max(side / 2 - x, side / 2 - y, x + side / 2 - value.width, y + side / 2 - value.height)
  );
  const most = Math.max(0, ...beyond);
  return most > 0 ? Math.min(most, 0.15 * longest) + dot() + 0.01 * longest : 0;
};

// A place of the square in its own coordinates; where that is out of sight, the nearest that can be seen.
const seen = (face, x, y) => {
  const turn = new DOMMatrix([1, 0, 0, 1, face.x, face.y]).rotate(face.angle);
  const point = new DOMPoint(x, y).matrixTransform(turn);
  const limit = overhang() - Math.min(dot(), HANDLE * face.side);
  point.x = Math.min(Math.max(point.x, -limit), value.width + limit);
  point.y = Math.min(Math.max(point.y, -limit), value.height + limit);
  return point.matrixTransform(turn.inverse());
};

const place = (group, face) => {
  const half = face.side / 2;
  group.setAttribute('transform', `translate(${face.x} ${face.y}) rotate(${face.angle})`);
  const [frame, ...handles] = group.children;
  Object.entries({ x: -half, y: -half, width: face.side, height: face.side }).forEach(([key, v]) =>
    frame.setAttribute(key, v)
  );
  const [corner, top] = [seen(face, half, half), seen(face, 0, -half)];
  handles.forEach((part, index) => {
    const { x, y } = index < 2 ? corner : top;
    part.setAttribute('d', `M ${x} ${y} h 0`);
  });
  const screen = group.ownerSVGElement.getScreenCTM();
  if (screen) group.style.setProperty('--share', Math.min(1, (face.side * screen.a) / WHOLE));
};

// Handles of small squares depend on how large the drawing is, which is known once it is in sight.
const resized = new ResizeObserver(() =>
  element.querySelectorAll('g.face').forEach((group) => place(group, value.faces[Number(group.dataset.index)]))
);

const choose = (index) => {
  chosen = value && index < value.faces.length ? index : -1;
  element.querySelectorAll('g.face').forEach((group, number) => {
    group.classList.toggle('chosen', number === chosen);
    group.setAttribute('aria-current', number === chosen);
  });
  element.querySelector('.undo').disabled = !before.length;
  element.querySelector('.remove').disabled = !value || (chosen < 0 && value.faces.length !== 1);
};

const draw = () => {
  const stage = element.querySelector('.stage');
  stage.replaceChildren();
  resized.disconnect();
  element.querySelector('.add').disabled = !value;
  choose(chosen);
  element.querySelector('.empty').hidden = Boolean(value);
  if (!value) return;
  const around = overhang();
  const [width, height] = [value.width + 2 * around, value.height + 2 * around];
  const svg = make('svg', { viewBox: `${-around} ${-around} ${width} ${height}`, role: 'group' }, stage);
  svg.setAttribute('aria-label', 'The photo, with a square around every face');
  svg.style.aspectRatio = `${width} / ${height}`;
  make('image', { href: value.image, width: value.width, height: value.height }, svg);
  value.faces.forEach((face, index) => {
    const kind = `face ${face.filled ? 'filled' : ''} ${face.by}`;
    // an application: to that, screen readers leave the arrow keys
    const group = make('g', { class: kind, tabindex: 0, role: 'application', 'data-index': index }, svg);
    group.setAttribute(
      'aria-label',
      `Face ${index + 1} of ${value.faces.length}. Arrow keys move it, plus and minus resize it, ` +
        'R and Shift+R turn it, Delete removes it.'
    );
    make('rect', { class: 'frame' }, group);
    make('path', { class: 'rim' }, group); // dots: strokes without length are as wide on any photo
    make('path', { class: 'handle' }, group);
    make('path', { class: 'edge' }, group);
    make('path', { class: 'turn' }, group); // a ring at the forehead
    place(group, face);
  });
  choose(chosen);
  resized.observe(svg);
};

const inside = (event) => {
  const svg = element.querySelector('svg');
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return { x: point.x, y: point.y };
};

const turned = (face, angle) => {
  const right = 90 * Math.round(angle / 90);
  face.angle = ((Math.abs(angle - right) < 3 ? right : angle) + 540) % 360 - 180; // catches at right angles
  face.by = 'moved'; // used as it stands, also if it was added for a face to be looked for in it
};

const bounded = (face) => {
  face.x = Math.min(Math.max(face.x, 0), value.width);
  face.y = Math.min(Math.max(face.y, 0), value.height);
  const longest = Math.max(value.width, value.height);
  face.side = Math.min(Math.max(face.side, Math.max(24, longest / 60)), 2 * longest);
  if (face.by === 'found') face.by = 'moved';
};

// A square of its own for a face that was missed: as large as fits between the others, as near the middle as can be.
const free_square = () => {
  const { width, height } = value;
  const largest = Math.min(width, height) / 4;
  const places = [];
  for (let row = 1; row < 24; row += 1) {
    for (let column = 1; column < 24; column += 1) {
      const [x, y] = [(column / 24) * width, (row / 24) * height];
      const beside = value.faces.map((face) => Math.max(Math.abs(x - face.x), Math.abs(y - face.y)) - 0.6 * face.side);
      const room = Math.min(largest, x, y, width - x, height - y, ...beside);
      places.push({ x, y, room, away: Math.hypot(x - width / 2, y - height / 2) });
    }
  }
  const { x, y, room } = places.sort((one, other) => other.room - one.room || one.away - other.away)[0];
  return { x, y, side: 2 * Math.max(room, largest / 3), angle: 0, by: 'added', filled: false };
};

element.addEventListener('pointerdown', (event) => {
  const group = event.target.closest('g.face');
  if (!group) return;
  const start = inside(event);
  const face = value.faces[Number(group.dataset.index)];
  const kind = ['handle', 'turn'].find((name) => event.target.classList.contains(name));
  drag = { face, group, start, from: { ...face }, kind };
  group.parentNode.setPointerCapture(event.pointerId);
  group.focus();
  event.preventDefault();
});
element.addEventListener('pointermove', (event) => {
  if (!drag) return;
  const now = inside(event);
  if (drag.kind === 'turn') {
    const [before, after] = [drag.start, now].map(({ x, y }) => Math.atan2(y - drag.from.y, x - drag.from.x));
    turned(drag.face, drag.from.angle + ((after - before) * 180) / Math.PI);
  } else if (drag.kind === 'handle') {
    const before = Math.hypot(drag.start.x - drag.from.x, drag.start.y - drag.from.y);
    const after = Math.hypot(now.x - drag.from.x, now.y - drag.from.y);
    drag.face.side = (drag.from.side * after) / Math.max(before, 1);
  } else {
    drag.face.x = drag.from.x + now.x - drag.start.x;
    drag.face.y = drag.from.y + now.y - drag.start.y;
  }
  bounded(drag.face);
  place(drag.group, drag.face);
});
const drop = () => {
  if (!drag) return;
  const index = drag.group.dataset.index;
  drag = null;
  hand_in();
  element.querySelector(`g.face[data-index="${index}"]`).focus();
};
element.addEventListener('pointerup', drop);
element.addEventListener('pointercancel', drop);

element.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'z') {
    event.preventDefault();
    undo();
    (element.querySelector(`g.face[data-index="${chosen}"]`) || element.querySelector('g.face, button')).focus();
    return;
  }
  const group = event.target.closest('g.face');
  if (!group) return;
  const index = Number(group.dataset.index);
  const face = value.faces[index];
  const step = Math.max(value.width, value.height) / 100;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (moves[event.key]) {
    face.x += moves[event.key][0];
    face.y += moves[event.key][1];
  } else if (event.key === '+' || event.key === '=') face.side *= 1.05;
  else if (event.key === '-') face.side /= 1.05;
  else if (event.key === 'r') turned(face, face.angle + 5);
  else if (event.key === 'R') turned(face, face.angle - 5);
  else if (event.key === 'Delete' || event.key === 'Backspace') value.faces.splice(index, 1);
  else return;
  event.preventDefault();
  if (value.faces[index] === face) bounded(face);
  hand_in();
  const next = element.querySelector(`g.face[data-index="${index}"]`) || element.querySelector('g.face, button');
  next.focus();
});

element.addEventListener('focusin', (event) => {
  const group = event.target.closest('g.face');
  if (group) choose(Number(group.dataset.index));
});
element.addEventListener('click', (event) => {
  if (!value) return;
  if (event.target.closest('.add')) {
    value.faces.push(free_square());
    chosen = value.faces.length - 1;
  } else if (event.target.closest('.remove')) {
    value.faces.splice(Math.max(chosen, 0), 1);
    chosen = -1;
  } else if (event.target.closest('.undo')) return undo();
  else return;
  hand_in();
  if (chosen >= 0) element.querySelector(`g.face[data-index="${chosen}"]`).focus();
});

const take = () => {
  if (value && JSON.stringify(props.value) === JSON.stringify(value)) return; // drawn anew, it would lose the focus
  value = props.value ? JSON.parse(JSON.stringify(props.value)) : null;
  chosen = -1;
  [before, last] = [[], value ? squares() : ''];
  if (!drag) draw();
};
watch('value', take);
take();
