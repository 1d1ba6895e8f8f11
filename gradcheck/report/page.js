// The page: the verdict, the facts, and the table of tensors that sorts, filters and opens.

const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const RANK = { pass: 0, undecided: 1, fail: 2 };
const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);
const verified = (tensor) => tensor.pass + tensor.kink;

// The worst error of a tensor over what is allowed there: Infinity where it is not finite, null where no oracle has a say, or
// none of them makes the tensor fail, but an exact tie, directions or the Taylor test.
function worstRatio(tensor) {
  const worst = Object.values(tensor.oracles).map((found) => found.worst);
  const ratios = worst.filter(({ index, rel_error, allowed }) => index && (rel_error === null || allowed !== null))
    .map(({ rel_error, allowed }) => (rel_error === 0 ? 0 : rel_error === null ? Infinity : rel_error / allowed));
  const largest = Math.max(-1, ...ratios);
  return largest < 0 || (tensor.verdict === "fail" && largest <= 1) ? null : largest;
}

function verdictOf(tensor) {
  return tensor.verdict === "kink" ? "pass" : tensor.verdict;
}

const rows = run.networks.flatMap((network) => network.tensors.map((tensor) => ({
  network, tensor, verdict: verdictOf(tensor), ratio: worstRatio(tensor), open: false,
})));
rows.forEach((row, position) => (row.position = position));

// --- the verdict and the facts

function sentence() {
  const [entries, wrong, undecided] = ["entries", "fail", "undecided"].map((key) => sum(rows, ({ tensor }) => tensor[key]));
  const right = sum(rows, ({ tensor }) => verified(tensor));
  const failing = rows.filter((row) => row.verdict === "fail").length;
  const coverage = `${right === entries ? "all" : `${counted(right)} of`} ${counted(entries)} entries verified`;
  const where = run.networks.length > 1 ? ` of ${counted(run.networks.length)} networks` : "";
  if (!rows.length) return "nothing was checked";
  if (failing) {
    const at = wrong ? `, at ${plural(wrong, "entry", "entries")}` : "";
    return `${counted(failing)} of ${plural(rows.length, "tensor")}${where} ${failing === 1 ? "is" : "are"} wrong${at}; ${coverage}`;
  }
  if (run.verdict === "fail") return `no tensor is wrong, but the check found the faults below; ${coverage}`;
  if (undecided) return `no entry is wrong, ${counted(undecided)} ${undecided === 1 ? "is" : "are"} undecided; ${coverage}`;
  return `${coverage}, in ${plural(rows.length, "tensor")}${where}`;
}

// Sentences of all networks under one label; the name of the network stands before its own where there are several.
function fact(label, sentencesOf, name = "") {
  const lines = run.networks.flatMap((network) => sentencesOf(network).map((line) => ({ network, line })));
  const same = run.networks.length > 1 && lines.length === run.networks.length && new Set(lines.map(({ line }) => line)).size === 1;
  const shown = (same ? lines.slice(0, 1) : lines).map(({ network, line }) => run.networks.length > 1 && !same
    ? element("dd", {}, element("b", {}, network.name), ` ${line}`) : element("dd", {}, capital(line)));
  return shown.length ? [element("div", { class: name }, element("dt", {}, label), ...shown)] : [];
}

function forwardFaults(network) {
  const wrong = network.forward.filter((quantity) => quantity.verdict === "fail").map((quantity) => quantity.name);
  return wrong.length ? [`the forward passes differ in ${wrong.join(", ")}`] : [];
}

function showVerdict() {
  byId("verdict").append(element("span", { class: `word ${run.verdict}` }, capital(run.verdict)), element("span", { class: "rest" }, `${capital(sentence())}${run.askedFor}.`));
  byId("facts").append(
    ...fact("Faults", (network) => [...network.faults, ...forwardFaults(network)], "faults"),
    ...fact("Sensitivity", (network) => (network.sensitivity ? [network.sensitivity] : [])),
    ...fact("Notes", (network) => network.notes),
  );
  byId("command").textContent = run.command;
  byId("copy").addEventListener("click", copy);
}

async function copy() {
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(run.command);
  } catch {
    getSelection().selectAllChildren(byId("command"));
    said = "Selected: copy it with Ctrl+C";
  }
  byId("copied").textContent = said;
}

// --- the table

const some = (number) => (number ? counted(number) : dash);
const COLUMNS = [
  { label: "Verdict", key: (row) => RANK[row.verdict], show: (row) => badge(row.verdict), down: true },
  { label: "Network", key: (row) => row.network.name, show: (row) => row.network.name },
  { label: "Tensor", key: (row) => row.tensor.name, show: (row) => opener(row) },
  { label: "Shape", key: (row) => row.tensor.entries, show: (row) => row.tensor.shape.join(" × ") || "scalar", number: true },
  { label: "Verified", key: (row) => verified(row.tensor), show: (row) => coverage(row.tensor), number: true },
  { label: "Wrong", key: (row) => row.tensor.fail, show: (row) => some(row.tensor.fail), number: true },
  { label: "Undecided", key: (row) => row.tensor.undecided, show: (row) => some(row.tensor.undecided), number: true },
  { label: "Kinks", key: (row) => row.tensor.kink, show: (row) => some(row.tensor.kink), number: true },
  { label: "Error / allowed", key: (row) => row.ratio ?? -1, show: (row) => row.ratio === null ? dash : readable(row.ratio), number: true },
  { label: "Could see", key: (row) => row.tensor.sensitivity ?? Infinity, show: (row) => row.tensor.sensitivity === null ? dash : readable(row.tensor.sensitivity, 1), number: true },
  { label: "Taylor", key: (row) => row.tensor.taylor?.verdict ?? "", show: (row) => row.tensor.taylor?.verdict ?? dash },
];

function coverage(tensor) {
  const count = counted(verified(tensor));
  return verified(tensor) === tensor.entries ? count : `${count} of ${counted(tensor.entries)}`;
}

function opener(row) {
  row.button = element("button", {
    type: "button", class: "opener", "aria-expanded": "false", "aria-controls": `detail${row.position}`, onclick: () => toggle(row),
  }, row.tensor.name);
  return row.button;
}

function toggle(row) {
  row.open = !row.open;
  if (row.open && !row.cell.hasChildNodes()) row.cell.append(detailOf(row.network, row.tensor, row.verdict, run));
  row.detail.hidden = !row.open;
  row.button.setAttribute("aria-expanded", String(row.open));
}

function buildTable() {
  byId("table").append(sortingHead(COLUMNS, sortBy));
  for (const row of rows) {
    const cells = COLUMNS.map((column) => {
      const shown = column.show(row);
      const name = `${column.number ? "number" : column.label.toLowerCase()}${shown === dash ? " nothing" : ""}`;
      return element("td", { role: "cell", "data-label": column.label, class: name }, shown);
    });
    const line = element("tr", { role: "row", class: "tensor" }, ...cells);
    line.addEventListener("click", (event) => event.target.closest("button") || String(getSelection()) || toggle(row));
    row.cell = element("td", { role: "cell", colspan: COLUMNS.length });
    row.detail = element("tr", { role: "row", id: `detail${row.position}`, class: "opened", hidden: true }, row.cell);
    row.body = element("tbody", { role: "rowgroup", class: row.verdict }, line, row.detail);
  }
}

let sorted = { column: null, down: false };

// The first time a number sorts from the largest and a name from the first; the next time the other way round.
function sortBy(column) {
  const down = sorted.column === column ? !sorted.down : Boolean(column.number || column.down);
  sorted = { column, down };
  for (const { head } of COLUMNS) head.removeAttribute("aria-sort");
  column.head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a === b ? 0 : a - b);
  rows.sort((a, b) => (down ? -1 : 1) * order(column.key(a), column.key(b)) || a.position - b.position);
  byId("table").append(...rows.map((row) => row.body));
  showCount();
}

// --- the filters

function buildFilters() {
  for (const verdict of ["all", "fail", "undecided", "pass"]) {
    const count = verdict === "all" ? rows.length : rows.filter((row) => row.verdict === verdict).length;
    byId("verdicts").append(element("label", {},
      element("input", { type: "radio", name: "verdict", value: verdict, checked: verdict === "all" }),
      element("span", {}, `${capital(verdict)} `, element("small", {}, counted(count)))));
  }
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
}

function filter() {
  const words = byId("text").value.toLowerCase().split(/\s+/);
  const verdict = byId("filters").elements.verdict.value;
  for (const row of rows) {
    const searched = `${row.network.name} ${row.tensor.name} ${row.tensor.diagnosis ?? ""}`.toLowerCase();
    row.body.hidden = !(words.every((word) => searched.includes(word)) && (verdict === "all" || verdict === row.verdict));
  }
  showCount();
}

function showCount() {
  const shown = rows.filter((row) => !row.body.hidden).length;
  const order = sorted.down ? "descending" : "ascending";
  byId("shown").textContent = `${counted(shown)} of ${plural(rows.length, "tensor")}, by ${sorted.column.label.toLowerCase()}, ${order}`;
  byId("table").hidden = !shown;
  byId("empty").hidden = Boolean(shown);
  byId("empty").textContent = rows.length ? "No tensor matches. Clear the search or choose another verdict." : "Nothing was checked.";
}

showVerdict();
buildTable();
buildFilters();
sortBy(COLUMNS[0]);
rows.filter((row) => row.verdict === "fail").forEach(toggle);
