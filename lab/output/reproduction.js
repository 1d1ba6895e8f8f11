// The page of a reproduction: for each report its numbers beside ours, and its figures; a row opens to its runs.

const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const BADGES = { specified: "pass", "as-run": "pass", open: "fail" };
const COLUMNS = ["Experiment", "Number", "Reported", "Allowed",
  ...["specified", "as-run"].flatMap((column) => Object.values(run.twins).map((twin) => `${capital(run.columns[column])}: ${twin}`)), "Met"];

// Text that is not broken between its words: 60.32 ± 0.39, 49 to 51.
const unbroken = (text) => text.replace(" \u00b1 ", "\u00a0\u00b1\u00a0").replace(" to ", "\u00a0to\u00a0");

function cellsOf(row, column) {
  const cells = row.cells[column];
  return Object.keys(run.twins).map((twin, k) => unbroken(cells[twin] ?? (k === 0 ? cells.both ?? "" : "")));
}

function badge(verdict) {
  return verdict === null ? "" : element("span", { class: `badge ${BADGES[verdict] ?? ""}` }, run.verdicts[verdict]);
}

function showVerdict() {
  byId("verdict").append(element("span", { class: "word pass" }, run.word), element("span", { class: "rest" }, run.rest));
  for (const [name, ...sentences] of run.facts) {
    byId("facts").append(element("div", {}, element("dt", {}, name), ...sentences.map((sentence) => element("dd", {}, sentence))));
  }
}

// What an experiment's row opens to.
function detail(experiment) {
  const about = run.experiments[experiment];
  const parts = [element("h3", {}, about.title)];
  parts.push(...about.whys.map((sentence) => element("p", {}, sentence)));
  parts.push(...about.doubts.map((sentence) => element("p", { class: "hint" }, sentence)));
  const whatIf = rows.filter(({ row }) => row.experiment === experiment && Object.keys(row.cells["what-if"]).length);
  if (whatIf.length) {
    parts.push(smallTable("What if", ["Number", "Reported", ...Object.values(run.twins).map((twin) => `What if: ${twin}`)],
      whatIf.map(({ row }) => [row.number, row.reported, ...cellsOf(row, "what-if")])));
  }
  parts.push(smallTable("Runs", ["Column", "Twin", "Seed", "Seconds", "Command"], about.runs.map((each) => [
    run.columns[each.column], run.twins[each.twin] ?? each.check, String(each.seed), each.seconds.toFixed(1),
    element("code", { class: "value" }, each.command)])));
  return element("div", { class: "detail" }, element("div", { class: "wide" }, ...parts));
}

const rows = run.rows.map((row) => ({ row }));

function opener(item) {
  const button = element("button", { type: "button", class: "opener", "aria-expanded": "false" }, item.row.experiment);
  const open = () => {
    if (!item.opened) {
      item.opened = element("tr", { role: "row", class: "opened" }, element("td", { role: "cell", colspan: COLUMNS.length }, detail(item.row.experiment)));
      rows.findLast(({ row }) => row.experiment === item.row.experiment).node.after(item.opened);
    } else item.opened.hidden = !item.opened.hidden;
    button.setAttribute("aria-expanded", String(!item.opened.hidden));
  };
  button.addEventListener("click", open);
  return button;
}

function buildReports() {
  for (const report of new Set(run.rows.map((row) => row.report))) {
    const body = element("tbody", { role: "rowgroup" });
    for (const item of rows.filter(({ row }) => row.report === report)) {
      const { row } = item;
      const name = row.first ? opener(item) : element("span", { class: "repeated" }, row.experiment);
      const contents = [name, row.number, row.reported, unbroken(row.allowed), ...cellsOf(row, "specified"), ...cellsOf(row, "as-run"), badge(row.verdict)];
      item.node = element("tr", { role: "row", class: row.first ? "number-row first" : "number-row" },
        ...contents.map((content, k) => element("td", { role: "cell", "data-label": COLUMNS[k], class: k > 1 && k < 8 ? "number" : null }, content)));
      body.append(item.node);
    }
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" },
      ...COLUMNS.map((label, k) => element("th", { role: "columnheader", scope: "col", class: k > 1 && k < 8 ? "number" : null }, label))));
    const figures = run.figures.filter((figure) => figure.report === report).map(({ title, image }) =>
      element("figure", { class: "wide" }, element("img", { src: image, alt: title, loading: "lazy" }), element("figcaption", {}, title)));
    byId("reports").append(element("section", { "data-report": report }, element("h2", {}, `Report ${report}`),
      element("table", { class: "cards numbers", role: "table", "aria-label": `Report ${report}` }, head, body),
      element("details", { open: true }, element("summary", {}, plural(figures.length, "figure")), ...figures)));
  }
}

function buildFilters() {
  const counts = (verdict) => rows.filter(({ row }) => row.verdict === verdict).length;
  const choices = [["", "All", rows.length], ...Object.entries(run.verdicts).map(([key, word]) => [key, capital(word), counts(key)])];
  for (const [key, word, count] of choices.filter(([key, , count]) => key === "" || count)) {
    byId("verdicts").append(element("label", {}, element("input", { type: "radio", name: "verdict", value: key, checked: key === "" }),
      element("span", {}, `${word} `, element("small", {}, counted(count)))));
  }
}

function filter() {
  const words = byId("text").value.toLowerCase().split(/\s+/);
  const verdict = document.querySelector("#verdicts input:checked").value;
  for (const { row, node, opened } of rows) {
    const text = [row.experiment, row.title, row.number, row.reported, run.verdicts[row.verdict] ?? ""].join(" ").toLowerCase();
    node.hidden = !(words.every((word) => text.includes(word)) && (!verdict || row.verdict === verdict));
    if (opened && node.hidden) {
      opened.hidden = true;
      node.querySelector(".opener").setAttribute("aria-expanded", "false");
    }
  }
  byId("reports").classList.toggle("filtered", rows.some(({ node }) => node.hidden));
  for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector(".number-row:not([hidden])");
  const shown = rows.filter(({ node }) => !node.hidden).length;
  byId("shown").textContent = `${counted(shown)} of ${plural(rows.length, "row")}`;
  byId("empty").hidden = Boolean(shown);
}

showVerdict();
buildReports();
buildFilters();
byId("filters").addEventListener("input", filter);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
filter();
