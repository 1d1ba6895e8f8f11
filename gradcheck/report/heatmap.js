// The error at every entry of a tensor, in colour: a matrix, a strip, or an image for each row of weights over CIFAR's pixels.

const SIDE = 32;
const PIXELS = SIDE * SIDE;
const CHANNELS = ["red", "green", "blue"];
const CELL = 16; // pixels that a cell takes at most
const [BELOW, OVER] = [6, 10]; // decades on either side of the limit that the colours tell apart
const drawnMaps = new Set();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawnMaps.forEach((draw) => draw()));

// The colour of each level, [r, g, b, a], in the colours of the style sheet. What is not checked stays transparent.
function palette(levels) {
  const style = getComputedStyle(document.documentElement);
  const [low, limit, over, far, notFinite] = ["low", "limit", "over", "far", "not-finite"].map((name) =>
    style.getPropertyValue(`--map-${name}`).trim().split(" ").map(Number));
  const mix = (from, to, share) => [...from.map((value, i) => Math.round(value + (to[i] - value) * Math.min(Math.max(share, 0), 1))), 255];
  return Array.from({ length: 256 }, (_, level) => {
    if (level === levels.notChecked) return [0, 0, 0, 0];
    if (level === levels.notFinite) return [...notFinite, 255];
    const decade = (level - levels.limit) / levels.perDecade;
    return decade <= 0 ? mix(low, limit, 1 + decade / BELOW) : mix(over, far, decade / OVER);
  });
}

function meaning(level, levels) {
  if (level === levels.notChecked) return "not checked";
  if (level === levels.notFinite) return "not finite";
  if (level === 0) return "no error at all";
  const ratio = (at) => readable(10 ** ((at - levels.limit) / levels.perDecade));
  if (level === levels.largest) return `over ${ratio(level - 1)} times what is allowed`;
  return `about ${ratio(level - 0.5)} ${level > levels.limit ? "times" : "of"} what is allowed`;
}

// A panel is a picture of rows x columns cells; `entries` holds, for each, the flat index of the worst entry that it shows.
function pooled(values, worse, rows, columns, mostColumns, mostRows) {
  const [high, wide] = [Math.ceil(rows / mostRows), Math.ceil(columns / mostColumns)];
  const panel = { rows: Math.ceil(rows / high), columns: Math.ceil(columns / wide), pooled: high * wide > 1 };
  panel.entries = new Uint32Array(panel.rows * panel.columns).fill(0xffffffff);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const cell = Math.floor(i / high) * panel.columns + Math.floor(j / wide);
      const held = panel.entries[cell];
      if (held === 0xffffffff || worse(i * columns + j, held)) panel.entries[cell] = i * columns + j;
    }
  }
  return [panel];
}

function images(worse, rows) {
  return Array.from({ length: rows }, (_, row) => {
    const entries = new Uint32Array(PIXELS);
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      const channels = CHANNELS.map((_, channel) => row * 3 * PIXELS + channel * PIXELS + pixel);
      entries[pixel] = channels.reduce((held, entry) => (worse(entry, held) ? entry : held));
    }
    return { rows: SIDE, columns: SIDE, entries, row };
  });
}

function heatMap(tensor, levels) {
  const values = Uint8Array.from(atob(tensor.errors), (character) => character.charCodeAt(0));
  const severity = (entry) => (values[entry] === levels.notChecked ? -1 : values[entry]);
  const worse = (entry, held) => severity(entry) > severity(held);
  const isOver = (entry) => severity(entry) > levels.limit;
  const columns = tensor.shape.length > 1 ? tensor.entries / tensor.shape[0] : tensor.entries;
  const asImages = tensor.shape.length > 1 && columns === 3 * PIXELS;
  const [high, wide] = columns === 1 ? [1, tensor.entries] : [tensor.entries / columns, columns];
  let worst = 0;
  for (let entry = 1; entry < values.length; entry++) if (worse(entry, worst)) worst = entry;

  const readout = element("output", { class: "readout" });
  const marker = element("div", { class: "marker", "aria-hidden": "true" });
  const map = element("div", {
    class: asImages ? "map images" : "map", tabindex: 0, role: "group",
    "aria-label": `Heat map of ${tensor.name}. Arrow keys move from cell to cell${asImages ? ", Page Up and Page Down from row to row" : ""}, Home goes to the worst entry.`,
  });
  let panels = [];
  let current = { panel: 0, cell: 0 };

  function show(panel, cell) {
    current = { panel, cell };
    const { rows, columns, entries, frame, pooled } = panels[panel];
    const entry = entries[cell];
    const index = unravelled(entry, tensor.shape);
    const pixel = entry % PIXELS;
    const place = asImages ? ` (${CHANNELS[Math.floor(entry / PIXELS) % 3]} at row ${Math.floor(pixel / SIDE)}, column ${pixel % SIDE} of the image)` : "";
    readout.textContent = `${entry === worst ? "Worst: " : ""}${tensor.name}${indexed(index)}${place}${pooled ? ", the worst of its cell" : ""}: ${meaning(values[entry], levels)}`;
    marker.style.cssText = `left:${((cell % columns) / columns) * 100}%;top:${(Math.floor(cell / columns) / rows) * 100}%;width:${100 / columns}%;height:${100 / rows}%`;
    frame.append(marker);
  }

  function showWorst() {
    const panel = asImages ? Math.floor(worst / columns) : 0;
    show(panel, panels[panel].entries.indexOf(worst));
  }

  function draw() {
    const colours = palette(levels);
    for (const { rows, columns, entries, canvas } of panels) {
      const image = new ImageData(columns, rows);
      entries.forEach((entry, cell) => image.data.set(colours[values[entry]], 4 * cell));
      canvas.getContext("2d").putImageData(image, 0, 0);
    }
  }

  function framed(panel, number) {
    panel.canvas = element("canvas", { width: panel.columns, height: panel.rows });
    const point = (event) => {
      const { left, top, width, height } = panel.canvas.getBoundingClientRect();
      const at = (share, size) => Math.min(Math.max(Math.floor(share * size), 0), size - 1);
      const row = at((event.clientY - top) / height, panel.rows);
      show(number, row * panel.columns + at((event.clientX - left) / width, panel.columns));
    };
    panel.frame = element("div", { class: "frame", onpointermove: point, onpointerdown: point }, panel.canvas);
    if (panel.row === undefined) return panel.frame;
    let over = 0;
    for (let entry = panel.row * columns; entry < (panel.row + 1) * columns; entry++) over += isOver(entry);
    const title = element("figcaption", {}, `row ${panel.row}`, over ? element("b", {}, ` ${counted(over)} over`) : null);
    return element("figure", { class: over ? "image over" : "image" }, panel.frame, title);
  }

  function build(width) {
    panels = asImages ? images(worse, high) : pooled(values, worse, high, wide, width, 400);
    map.replaceChildren(...panels.map(framed));
    if (!asImages) {
      const [panel] = panels;
      const cell = Math.max(1, Math.min(CELL, Math.floor(width / panel.columns)));
      panel.canvas.style.width = `${cell * panel.columns}px`;
      panel.canvas.style.height = `${panel.rows * Math.max(cell, Math.min(CELL, Math.floor(160 / panel.rows)), 1)}px`;
    }
    draw();
    showWorst();
  }

  function step(event) {
    const { rows, columns } = panels[current.panel];
    const [row, column] = [Math.floor(current.cell / columns), current.cell % columns];
    const inside = (value, size) => Math.min(Math.max(value, 0), size - 1);
    const to = (row, column) => show(current.panel, inside(row, rows) * columns + inside(column, columns));
    const keys = {
      ArrowLeft: () => to(row, column - 1),
      ArrowRight: () => to(row, column + 1),
      ArrowUp: () => to(row - 1, column),
      ArrowDown: () => to(row + 1, column),
      PageUp: () => show(inside(current.panel - 1, panels.length), current.cell),
      PageDown: () => show(inside(current.panel + 1, panels.length), current.cell),
      Home: showWorst,
    };
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  map.addEventListener("keydown", step);
  if (asImages) requestAnimationFrame(() => build(0));
  else drawnToWidth(map, build);
  const scale = element("div", { class: "legend" });
  const paint = () => scale.replaceChildren(...legend(levels));
  paint();
  drawnMaps.add(() => (draw(), paint()));
  const explained = asImages
    ? "One image for each row: every pixel is the worst of its three channels."
    : "One cell for each entry" + (tensor.shape.length > 2 ? ", a row for each index of the first axis." : ".");
  return element("div", {}, element("p", { class: "hint" }, explained), scale, readout, map);
}

function unravelled(entry, shape) {
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(entry % size);
    entry = Math.floor(entry / size);
  }
  return index;
}

// What the colours mean.
function legend(levels) {
  const colours = palette(levels).map((colour) => `rgb(${colour.slice(0, 3).join(" ")} / ${colour[3] ? 1 : 0})`);
  const at = (decade) => colours[Math.round(levels.limit + decade * levels.perDecade)];
  const bar = (from, to) => Object.assign(element("i", { class: "bar" }), { style: `background:linear-gradient(to right,${from},${to})` });
  const key = (content, colour, name) => element("span", { class: `key ${name}` },
    Object.assign(element("i", { class: "swatch" }), { style: `background-color:${colour}` }), content);
  return [
    element("span", { class: "scale" }, element("span", {}, `1e-${BELOW}`), bar(at(-BELOW), at(0)), element("span", {}, "1, the limit")),
    element("span", { class: "scale" }, element("span", {}, "over it"), bar(at(1 / levels.perDecade), at(OVER)), element("span", {}, `1e${OVER} times`)),
    key("not finite", colours[levels.notFinite], ""),
    key("not checked", "transparent", "unchecked"),
  ];
}
