// The page of a search: what was found, the figures, and the table of candidates that sorts and filters.

const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const percent = (share) => (share === null ? dash : (100 * share).toFixed(2));

const rows = run.candidates.map((candidate, position) => ({ candidate, position, remark: run.remarks[position] }));
const seeds = run.search.seeds;
const COLUMNS = [
  { label: "Remark", key: (row) => row.remark, show: (row) => row.remark || dash },
  { label: "Round", key: (row) => row.candidate.stage, show: (row) => row.candidate.stage },
  ...run.names.map((name) => ({
    label: name, number: true, key: (row) => row.candidate.point[name], show: (row) => readable(row.candidate.point[name], 3),
  })),
  { label: seeds > 1 ? "Mean, %" : "Final, %", number: true, key: (row) => row.candidate.mean ?? -1, show: (row) => percent(row.candidate.mean) },
  ...(seeds > 1 ? [{ label: "Deviation", number: true, key: (row) => row.candidate.deviation ?? -1, show: (row) => percent(row.candidate.deviation) }] : []),
  { label: "Best, %", number: true, key: (row) => row.candidate.best?.accuracy ?? -1, show: (row) => percent(row.candidate.best?.accuracy ?? null) },
  { label: "At epoch", number: true, key: (row) => row.candidate.best?.epoch ?? -1, show: (row) => (row.candidate.best ? readable(row.candidate.best.epoch, 3) : dash) },
  { label: "Training, %", number: true, key: (row) => row.candidate.train ?? -1, show: (row) => percent(row.candidate.train) },
];

function showVerdict() {
  byId("verdict").append(element("span", { class: "word pass" }, run.word), element("span", { class: "rest" }, run.rest));
  for (const [name, ...sentences] of run.facts) {
    byId("facts").append(element("div", {}, element("dt", {}, name), ...sentences.map((sentence) => element("dd", {}, sentence))));
  }
  byId("command").textContent = run.command;
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(run.command);
      byId("copied").textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(byId("command"));
      byId("copied").textContent = "Selected: copy it with the keyboard.";
    }
  });
  for (const { title, light, dark } of run.figures) {
    byId("figures").append(element("figure", { class: "wide" }, element("picture", {},
      element("source", { srcset: dark, media: "(prefers-color-scheme: dark)" }), element("img", { src: light, alt: title })),
    element("figcaption", {}, title)));
  }
}

function buildTable() {
  byId("table").append(sortingHead(COLUMNS, sortBy));
  for (const row of rows) {
    const cells = COLUMNS.map((column) =>
      element("td", { role: "cell", "data-label": column.label, class: column.number ? "number" : null }, column.show(row)));
    row.body = element("tbody", { role: "rowgroup" }, element("tr", { role: "row", class: "tensor" }, ...cells));
  }
}

let sorted = { column: null, down: false };

function sortBy(column) {
  const down = sorted.column === column ? !sorted.down : Boolean(column.number);
  sorted = { column, down };
  for (const { head } of COLUMNS) head.removeAttribute("aria-sort");
  column.head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  rows.sort((a, b) => (down ? -1 : 1) * order(column.key(a), column.key(b)) || a.position - b.position);
  byId("table").append(...rows.map((row) => row.body));
  filter();
}

function filter() {
  const words = byId("text").value.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const searched = COLUMNS.map((column) => column.show(row)).join(" ").toLowerCase();
    row.body.hidden = !words.every((word) => searched.includes(word));
  }
  const shown = rows.filter((row) => !row.body.hidden).length;
  const order = sorted.down ? "descending" : "ascending";
  byId("shown").textContent = `${counted(shown)} of ${plural(rows.length, "candidate")}, by ${sorted.column.label.toLowerCase()}, ${order}`;
  byId("table").hidden = !shown;
  byId("empty").hidden = Boolean(shown);
}

showVerdict();
buildTable();
byId("filters").addEventListener("input", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
sortBy(COLUMNS.find((column) => /^(Mean|Final)/.test(column.label)));
