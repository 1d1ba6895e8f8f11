// What all parts of the page are built from. Text goes in as text nodes only: names may hold anything.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const drawing = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const dash = "–";

// A number that a person reads: 12, 0.034, 3e-13. null stands for one that is not finite.
function readable(value, digits = 2) {
  if (value === null || !Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (value === 0 || (size >= 0.01 && size < 1e4)) return String(Number(value.toPrecision(digits)));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

const counted = (number) => number.toLocaleString("en");
const plural = (number, one, many = `${one}s`) => `${counted(number)} ${number === 1 ? one : many}`;
const capital = (sentence) => sentence.charAt(0).toUpperCase() + sentence.slice(1);
const indexed = (index) => (index ? `[${index.join(", ")}]` : dash);

// A table that becomes cards on a narrow screen: each cell then shows the label of its column.
function smallTable(caption, columns, rows) {
  const cell = (content, i) => element("td", { role: "cell", "data-label": columns[i] }, content);
  return element(
    "table",
    { class: "cards small", role: "table", "aria-label": caption },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" },
      ...columns.map((column) => element("th", { role: "columnheader", scope: "col" }, column)))),
    element("tbody", { role: "rowgroup" }, ...rows.map((row) => element("tr", { role: "row" }, ...row.map(cell)))),
  );
}

// Calls draw(width) as soon as the node is visible, and whenever its width changes.
function drawnToWidth(node, draw) {
  let drawn = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width > 0 && width !== drawn) draw((drawn = width));
  }).observe(node);
}

// The head of a table that sorts: a button for each of the columns, {label, number}, which get their `head`.
function sortingHead(columns, sortBy) {
  for (const column of columns) {
    column.head = element("th", { role: "columnheader", scope: "col", class: column.number ? "number" : null },
      element("button", { type: "button", class: "sorter", onclick: () => sortBy(column) }, column.label));
  }
  return element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...columns.map((column) => column.head)));
}
