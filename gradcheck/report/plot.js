// Plots with two logarithmic axes, as inline SVG.

const MARKS = {
  circle: (x, y) => drawing("circle", { cx: x, cy: y, r: 3.2 }),
  square: (x, y) => drawing("rect", { x: x - 3, y: y - 3, width: 6, height: 6 }),
  triangle: (x, y) => drawing("path", { d: `M${x} ${y - 4}l4 7h-8z` }),
  diamond: (x, y) => drawing("path", { d: `M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z` }),
};
const STYLES = [
  { mark: "circle", dash: "none" },
  { mark: "square", dash: "7 3" },
  { mark: "triangle", dash: "2 3" },
  { mark: "diamond", dash: "9 3 2 3" },
];

// `lines` are {name, label, points: [[x, y or null], ...], window: null or [low, high] in x}; `guides` are {label, from, to}.
// A y of 0 has no logarithm: it stands on the axis, which then is labelled 0.
function logLogPlot({ title, xLabel, yLabel, lines, guides = [] }) {
  const box = element("div", { class: "plot" });
  drawnToWidth(box, (width) => box.replaceChildren(plotted(Math.min(width, 620))));
  return box;

  function plotted(width) {
    const height = Math.max(230, Math.round(width * 0.56));
    const [left, right, top, bottom] = [54, width - 62, 12, height - 44];
    const points = lines.flatMap((line) => line.points.filter(([, y]) => y !== null));
    const zeros = points.some(([, y]) => y === 0);
    const xs = decades(points.map(([x]) => x));
    const ys = decades(points.map(([, y]) => y).filter((y) => y > 0));
    if (zeros) ys[0] -= 1;
    const X = (x) => left + ((Math.log10(x) - xs[0]) / (xs[1] - xs[0])) * (right - left);
    const Y = (y) => (y === 0 ? bottom : bottom - ((Math.log10(y) - ys[0]) / (ys[1] - ys[0])) * (bottom - top));
    const svg = drawing("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });

    const windows = new Set(lines.filter((line) => line.window).map((line) => line.window.join(" ")));
    for (const [low, high] of [...windows].map((ends) => ends.split(" ").map((x) => X(Number(x))))) {
      svg.append(drawing("rect", { class: "window", x: low, y: top, width: Math.max(high - low, 1), height: bottom - top }));
    }
    for (const power of ticks(xs, (right - left) / 46)) {
      const x = X(10 ** power);
      svg.append(drawing("line", { class: "grid", x1: x, y1: top, x2: x, y2: bottom }), text(x, bottom + 16, `1e${power}`, "middle"));
    }
    for (const power of ticks(ys, (bottom - top) / 26)) {
      const y = Y(10 ** power);
      if (zeros && power === ys[0]) continue;
      svg.append(drawing("line", { class: "grid", x1: left, y1: y, x2: right, y2: y }), text(left - 6, y + 4, `1e${power}`, "end"));
    }
    if (zeros) svg.append(text(left - 6, bottom + 4, "0", "end"));
    svg.append(drawing("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }));
    svg.append(text((left + right) / 2, height - 8, xLabel, "middle", "label"));
    const middle = (top + bottom) / 2;
    const beside = text(12, middle, yLabel, "middle", "label");
    beside.setAttribute("transform", `rotate(-90 12 ${middle})`);
    svg.append(beside);

    const labels = [];
    const guideLabels = [];
    for (const guide of guides) {
      const [from, to] = clipped(guide, ys);
      svg.append(drawing("line", { class: "guide", x1: X(from[0]), y1: Y(from[1]), x2: X(to[0]), y2: Y(to[1]) }));
      guideLabels.push(text(X(to[0]) + 14, Y(to[1]) - 2, guide.label, "start", "guide-label"));
    }
    lines.forEach((line, i) => {
      const style = STYLES[i % STYLES.length];
      const group = drawing("g", { class: `line line${i % STYLES.length}` });
      const inside = (x) => !line.window || (x >= line.window[0] * 0.999 && x <= line.window[1] * 1.001);
      let path = "";
      line.points.forEach(([x, y], k) => {
        if (y !== null) path += `${k && line.points[k - 1][1] !== null ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`;
      });
      group.append(drawing("path", { class: "curve", d: path, "stroke-dasharray": style.dash }));
      for (const [x, y] of line.points) {
        if (y === null) continue;
        const mark = MARKS[style.mark](X(x), Y(y));
        mark.setAttribute("class", inside(x) ? "mark" : "mark hollow");
        mark.append(drawing("title", {}, `${line.name}, step ${readable(x)}: ${readable(y, 3)}`));
        group.append(mark);
      }
      svg.append(group);
      const last = line.points.filter(([, y]) => y !== null).sort((a, b) => a[0] - b[0]).at(-1);
      if (last) labels.push({ x: X(last[0]), y: Y(last[1]), label: line.label, class: `line-label line${i % STYLES.length}` });
    });
    svg.append(...guideLabels);
    for (const { x, y, at, label, class: name } of spread(labels, top + 6, bottom)) {
      if (Math.abs(at - y) > 4) svg.append(drawing("path", { class: "leader", d: `M${x + 5} ${y}L${right + 6} ${at}` }));
      svg.append(text(right + 9, at + 4, label, "start", name));
    }
    return svg;
  }
}

const text = (x, y, content, anchor, name = "tick") => drawing("text", { x, y, "text-anchor": anchor, class: name }, content);

// The whole decades that hold all values.
function decades(values) {
  if (!values.length) return [-1, 0];
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...values)) - 1e-9);
  return [low, Math.max(high, low + 1)];
}

function ticks([low, high], most) {
  const step = Math.max(1, Math.ceil((high - low) / Math.max(1, most)));
  return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => low + i * step);
}

// The part of a guide above the lower edge of the plot: it goes from its upper end (right) down to the left.
function clipped({ from, to }, [lowest]) {
  const [x, y] = [from, to].map((point) => point.map(Math.log10)).reduce(([x0, y0], [x1, y1]) => {
    const share = y1 < lowest ? (lowest - y0) / (y1 - y0) : 1;
    return [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
  });
  return [from, [10 ** x, 10 ** y]];
}

// Labels moved apart so that none covers another.
function spread(labels, top, bottom) {
  const sorted = labels.map((label) => ({ ...label, at: label.y })).sort((a, b) => a.y - b.y);
  for (let i = 0; i < sorted.length; i++) sorted[i].at = Math.max(sorted[i].at, i ? sorted[i - 1].at + 14 : top);
  for (let i = sorted.length - 1; i >= 0; i--) sorted[i].at = Math.min(sorted[i].at, i + 1 < sorted.length ? sorted[i + 1].at - 14 : bottom);
  return sorted;
}

// `plot` with what it says, in words and as numbers.
function figure(plot, caption, numbers) {
  return element("figure", {}, plot, element("figcaption", {}, caption),
    element("details", {}, element("summary", {}, "Numbers"), numbers));
}

const SWEPT = { "forward-difference": "forward", "central-difference": "central", "complex-step": "complex" };

function sweepFigure(tensor) {
  const { steps, index } = tensor.sweep;
  const lines = Object.keys(SWEPT).filter((oracle) => oracle in tensor.sweep).map((oracle) => ({
    name: oracle.replace("-", " "),
    label: SWEPT[oracle],
    points: steps.map((step, i) => [step, tensor.sweep[oracle][i]]),
  }));
  const title = `Relative error of each oracle against its step, at ${tensor.name}${indexed(index)}`;
  const plot = logLogPlot({ title, xLabel: "step", yLabel: "relative error", lines });
  const rows = steps.map((step, i) => [readable(step), ...lines.map((line) => line.points[i][1] === null ? "–" : readable(line.points[i][1]))]);
  return figure(plot, `${title}: a large step truncates, a small one rounds. The complex step subtracts nothing, so it does not round.`,
    smallTable(title, ["step", ...lines.map((line) => line.name)], rows));
}

function taylorFigure(tensor) {
  const { steps, directions } = tensor.taylor;
  const lines = directions.map((direction, i) => ({
    name: `direction ${i + 1}`,
    label: directions.length > 1 ? `dir. ${i + 1}` : "",
    points: steps.map((step, k) => [step, direction.remainders[k] ?? null]),
    window: direction.window,
  }));
  const title = `What the gradient leaves of the change of the cost, against the step, along ${plural(directions.length, "random direction")} of ${tensor.name}`;
  const plot = logLogPlot({ title, xLabel: "step", yLabel: "remainder", lines, guides: guidesOf(lines) });
  const rows = steps.map((step, i) => [readable(step), ...lines.map((line) => line.points[i][1] === null ? "–" : readable(line.points[i][1]))]);
  const found = smallTable("Slope of each direction", ["direction", "verdict", "slope", "window"], directions.map((direction, i) => [
    String(i + 1), direction.verdict, direction.slope === null ? "–" : direction.slope.toFixed(2),
    direction.window ? `${readable(direction.window[0])} to ${readable(direction.window[1])}` : "–",
  ]));
  return [found, figure(plot, `${title}. Slope 2: the gradient is right; slope 1: it is not. The slope is that of the filled marks, in the shaded window.`,
    smallTable(title, ["step", ...lines.map((line) => line.name)], rows))];
}

// Slopes 2 and 1, a little below the remainder at the largest step.
function guidesOf(lines) {
  const points = lines.flatMap((line) => line.points).filter(([, y]) => y > 0).sort((a, b) => a[0] - b[0]);
  if (points.length < 2) return [];
  const [[low], [high, remainder]] = [points[0], points.at(-1)];
  const from = [high, remainder / 6];
  return [2, 1].map((slope) => ({ label: `slope ${slope}`, from, to: [low, from[1] * (low / high) ** slope] }));
}
