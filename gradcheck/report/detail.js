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
  for (const sentence of tensor.alone) sentences.push(element("p", {}, `${capital(sentence)}.`));
  const { checked, fail } = tensor.directions ?? { checked: 0 };
  if (checked) {
    const outcome = fail ? `the gradient is wrong along ${counted(fail)}` : "the gradient is right along all";
    sentences.push(element("p", {}, `Of the entries not checked one by one, ${plural(checked, "random direction")} ${checked === 1 ? "was" : "were"} checked: ${outcome}.`));
  }
  if (!sentences.length) return null;
  return part(verdict === "fail" ? "What is wrong" : "Remarks", sentences, "wide found");
}

function worstEntries(tensor) {
  const oracles = Object.entries(tensor.oracles);
  if (!oracles.length) return [nothing("No oracle was asked.")];
  const columns = ["oracle", "entry", "claimed", "reference", "relative error", "allowed"];
  const value = (number) => element("span", { class: "value" }, number === null ? "not finite" : readable(number, 16));
  return [smallTable("Worst entry for each oracle", columns, oracles.map(([oracle, { worst }]) => [
    oracle.replace("-", " "), indexed(worst.index), value(worst.claimed), value(worst.reference),
    element("span", { class: over(worst) ? "over" : "" }, readable(worst.rel_error)), readable(worst.allowed),
  ]))];
}

const over = ({ rel_error, allowed }) => rel_error === null || allowed === null || rel_error > allowed;

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
