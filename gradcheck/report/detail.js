// What a row of the table opens to.

function detailOf(network, tensor, verdict, { levels, mostEntries }) {
  return element("div", { class: "detail" },
    found(tensor, verdict),
    part("Worst entry for each oracle", worstEntries(tensor), "wide"),
    part("Error at every entry, over what is allowed", errors(tensor, levels, mostEntries), "wide"),
    part("Error against step size", tensor.sweep ? [sweepFigure(tensor)] : [nothing("No step was swept for this tensor.")]),
    part("Taylor test", taylor(tensor)));
}

const part = (title, content, name = "") => element("section", { class: name }, element("h3", {}, title), ...content);
const nothing = (sentence) => element("p", { class: "empty" }, sentence);

function found(tensor, verdict) {
  const sentences = [];
  if (tensor.diagnosis) sentences.push(element("p", { class: "diagnosis" }, tensor.diagnosis));
  else if (verdict === "fail") sentences.push(element("p", {}, "No known bug makes this pattern."));
  if (tensor.tolerance !== null) {
    sentences.push(element("p", {}, element("b", {}, `A tolerance of ${readable(tensor.tolerance)} was asked for`), ": each entry may be off by so much of the tensor's largest derivative, beyond rounding."));
  }
  for (const sentence of tensor.alone) sentences.push(element("p", {}, `${capital(sentence)}.`));
  const { checked, fail } = tensor.directions ?? { checked: 0 };
  if (checked) {
    const outcome = fail ? `the gradient is wrong along ${counted(fail)}` : "the gradient is right along all";
    sentences.push(element("p", {}, `Of the entries not checked one by one, ${plural(checked, "random direction")} ${checked === 1 ? "was" : "were"} checked: ${outcome}.`));
  }
  if (!sentences.length) return null;
  return part(verdict === "fail" ? "What is wrong" : "Remarks", sentences, "wide found");
}

// A row for each oracle, and for entries at exact ties, with the two one-sided derivatives.
function worstEntries(tensor) {
  const rows = [...Object.entries(tensor.oracles).map((found) => oracleRow(tensor, ...found)), ...tieRows(tensor)];
  if (!rows.length) return [nothing("No oracle was asked.")];
  const columns = ["oracle", "entry", "claimed", "reference", "relative error", "allowed"];
  return [smallTable("Worst entry for each oracle", columns, rows)];
}

function oracleRow(tensor, oracle, { worst }) {
  const name = oracle.replace("-", " ");
  if (!worst.index) return [name, dash, dash, dash, dash, dash];
  const over = tensor.fail > 0 && !(worst.rel_error !== null && worst.allowed !== null && worst.rel_error <= worst.allowed);
  const [error, allowed] = apart(worst.rel_error, worst.allowed, tensor.tolerance);
  return [name, indexed(worst.index), exact(worst.claimed), exact(worst.reference),
    element("span", { class: over ? "over" : "" }, error), allowed];
}

function tieRows(tensor) {
  const row = (tie, place, name) => [`exact tie, ${place} the one-sided derivatives`, indexed(tie.index), exact(tie.claimed),
    element("span", {}, exact(tie.left), " to ", exact(tie.right)), element("span", { class: name }, place), dash];
  return [...(tensor.tie ? [row(tensor.tie, "beyond", "over")] : []), ...(tensor.between ? [row(tensor.between, "between", "")] : [])];
}

const exact = (number) => element("span", { class: "value" }, number === null ? "not finite" : readable(number, 16));

// Both numbers in so many digits that an error that is larger also reads as larger. An oracle that allows more than the size of
// the derivatives, unless that was asked for, knows nothing.
function apart(error, allowed, tolerance) {
  if (allowed === null || (allowed > 1 && tolerance === null)) return [readable(error), "unknown"];
  let digits = 2;
  while (error > allowed && digits < 17 && readable(error, digits) === readable(allowed, digits)) digits += 1;
  return [readable(error, digits), readable(allowed, digits)];
}

function errors(tensor, levels, mostEntries) {
  if (tensor.entries > mostEntries) return [nothing(`No heat map: the tensor has more than ${counted(mostEntries)} entries.`)];
  if (!tensor.errors) return [nothing(tensor.entries ? "No error was recorded for this tensor." : "The tensor has no entries.")];
  return [heatMap(tensor, levels)];
}

function taylor(tensor) {
  if (!tensor.taylor) return [nothing("No Taylor test ran on this tensor.")];
  const { verdict, reason, directions } = tensor.taylor;
  const sentence = element("p", {}, badge(verdict), reason ? ` ${capital(reason)}` : "");
  return [sentence, ...(directions.length ? taylorFigure(tensor) : [])];
}

const badge = (verdict) => element("span", { class: `badge ${verdict}` }, verdict);
