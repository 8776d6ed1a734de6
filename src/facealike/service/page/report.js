// What the served model is, and how far to trust it.
import { describe, sentence } from "./api.js";
import { make, problem, shape } from "./elements.js";

const WIDTH = 640;
const HEIGHT = 300;
const EDGE = { left: 84, right: 16, top: 12, bottom: 48 };

export function startReport() {
  const place = document.getElementById("report-body");
  let drawn = false;

  async function open() {
    if (drawn) return;
    try {
      place.replaceChildren(...parts(await describe()));
      drawn = true;
    } catch (error) {
      problem(place, error);
    }
  }
  return { open };
}

function parts(model) {
  const { card } = model;
  const found = [
    make("p", { class: "verdict" }, trust(model)),
    table("The model", null, [
      ["Name", `${model.name} (${model.id})`],
      ["Made", card.created],
      ["For", card.intended_use],
      ["Limits", card.limits],
      ...Object.entries(card.licence).map(([part, text]) => [`License of ${part.replace("_", " ")}`, text]),
      ["Calibrated on", model.calibration_people ?? "no people: no score has a verdict"],
    ]),
  ];
  if (model.operating_points.length) {
    const rows = model.operating_points.map((point) => [
      percent(point.fmr),
      between(...point.fmr_interval),
      percent(point.fnmr),
      point.threshold.toFixed(3) + (point.threshold === model.threshold ? " (in use)" : ""),
    ]);
    const of = `Operating points, on ${model.calibration_people}`;
    found.push(table(of, ["FMR", "95 % interval of the FMR", "FNMR", "Threshold"], rows));
  }
  if (model.survival.length > 1) found.push(plot(model));
  if (model.groups) found.push(...groups(model.groups));
  return found;
}

function trust(model) {
  const point = model.operating_points.find((one) => one.threshold === model.threshold);
  if (model.threshold === null) return "This model is not calibrated: it gives scores, and no verdicts.";
  if (!point) return `The threshold is ${model.threshold.toFixed(3)} (${model.threshold_from}).`;
  const one = Math.round(1 / point.fmr).toLocaleString("en");
  return `At the threshold, about 1 in ${one} pairs of different people counts as the same person, and ${percent(point.fnmr)} of pairs of one person are missed.`;
}

function groups(measured) {
  const rows = (rates) => Object.entries(rates).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([group, rate]) => [group.replace("_", " "), ...interval(rate)]);
  const head = ["Group", "FMR", "95 % interval"];
  const about = `FMR of different people of one group at the threshold ${measured.threshold.toFixed(3)}, on ${measured.photos.toLocaleString("en")} photos (${measured.data}). All groups together: ${interval(measured.overall).join(", interval ")}.`;
  return [
    make("h3", {}, "Groups of people"),
    make("p", {}, about),
    make("div", { class: "pair" }, ...Object.entries(measured.fmr).map(([kind, rates]) => table(sentence(kind), head, rows(rates)))),
  ];
}

function interval(rate) {
  return rate === null ? ["too small", ""] : [percent(rate[0]), between(rate[1], rate[2])];
}

function table(title, head, rows) {
  const cells = (row) => row.map((text, i) => (i ? make("td", {}, text) : make("th", { scope: "row" }, text)));
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row))));
  const made = make("table", {}, make("caption", {}, title));
  if (head) made.append(make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))));
  made.append(body);
  return made;
}

// FMR over the threshold, on a logarithmic scale, with the FNMR of the operating points.
function plot(model) {
  const points = model.survival;
  const low = Math.min(...points.map(([, rate]) => rate), ...model.operating_points.map((one) => one.fmr));
  const decades = Math.ceil(-Math.log10(low));
  const from = points.find(([, rate]) => rate <= 0.5)?.[0] ?? points[0][0];
  const to = Math.max(points.at(-1)[0], ...model.operating_points.map((one) => one.threshold));
  const x = (score) => EDGE.left + ((score - from) / (to - from)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (rate) => EDGE.top + (-Math.log10(rate) / decades) * (HEIGHT - EDGE.top - EDGE.bottom);
  const path = (pairs) => pairs.filter(([score]) => score >= from).map(([score, rate], i) => `${i ? "L" : "M"}${x(score).toFixed(1)} ${y(rate).toFixed(1)}`).join("");
  const misses = model.operating_points.filter((one) => one.fnmr > 0).map((one) => [one.threshold, one.fnmr]).sort((a, b) => a[0] - b[0]);
  const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "plot", "aria-labelledby": "plot-title" });
  const text = (attributes, words) => {
    const made = shape("text", attributes);
    made.textContent = words;
    return made;
  };
  for (let decade = 0; decade <= decades; decade++) {
    const rate = 10 ** -decade;
    drawing.append(
      shape("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(rate), y2: y(rate), class: "grid" }),
      text({ x: EDGE.left - 8, y: y(rate) + 4, "text-anchor": "end" }, percent(rate)),
    );
  }
  for (let i = 0; i <= 4; i++) {
    const score = from + ((to - from) * i) / 4;
    drawing.append(text({ x: x(score), y: HEIGHT - EDGE.bottom + 20, "text-anchor": i === 4 ? "end" : "middle" }, score.toFixed(3)));
  }
  drawing.append(
    text({ x: (WIDTH + EDGE.left) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "threshold (cosine)"),
    shape("path", { d: path(points), class: "fmr" }),
    shape("path", { d: path(misses), class: "fnmr" }),
    ...misses.filter(([score]) => score >= from && score <= to).map(([score, rate]) => shape("circle", { cx: x(score), cy: y(rate), r: 4, class: "fnmr" })),
  );
  if (model.threshold !== null && model.threshold >= from && model.threshold <= to) {
    const at = x(model.threshold);
    drawing.append(shape("line", { x1: at, x2: at, y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "threshold" }));
  }
  const key = make("p", { class: "note" }, "Solid: FMR, the share of pairs of different people that reach the threshold. Dashed: FNMR, the share of pairs of one person that do not, at the operating points. Vertical: the threshold in use. The table has the numbers.");
  return make("figure", {}, make("figcaption", { id: "plot-title" }, "Error rates over the threshold"), drawing, key);
}

function percent(rate) {
  return `${digits(rate)}\u00a0%`;
}

function between(low, high) {
  return `${digits(low)} to ${digits(high)}\u00a0%`;
}

function digits(rate) {
  return Number((rate * 100).toPrecision(2));
}
