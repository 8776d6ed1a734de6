// Why a comparison has its score: both faces under their maps, a legend, the regions, and sentences.
import { send, sentence } from "./api.js";
import { make, problem } from "./elements.js";

const ATTEMPTS = 10;
const PHOTOS = ["First", "Second"];

// Show a button that explains a comparison of these fields; ``current`` says whether it is still on the page.
export function offerExplanation(place, fields, current) {
  const button = make("button", { type: "button", class: "plain", "aria-expanded": "false", "aria-controls": "explanation" }, "Why?");
  const state = make("p", { role: "status", class: "reason" });
  const answer = make("div", { id: "explanation", hidden: "" });
  place.replaceChildren(button, state, answer);
  let asked = false;
  button.addEventListener("click", async () => {
    const open = button.getAttribute("aria-expanded") === "false";
    button.setAttribute("aria-expanded", String(open));
    answer.hidden = !open;
    if (!open || asked) return;
    asked = true;
    state.textContent = "Covering places of both faces …";
    try {
      const result = await patiently(() => send("POST", "/v1/explain", { ...fields, overlays: true }), current);
      if (!current()) return;
      answer.replaceChildren(...parts(result));
      state.textContent = `${sentence(result.sentence)}.`;
    } catch (error) {
      if (!current()) return;
      asked = false; // the next click tries again
      button.setAttribute("aria-expanded", "false");
      answer.hidden = true;
      problem(state, error);
    }
  });
}

// The service explains few comparisons at a time.
async function patiently(ask, current) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!error.wait || attempt === ATTEMPTS || !current()) throw error;
      await new Promise((done) => setTimeout(done, error.wait * 1000));
    }
  }
}

function parts(result) {
  const [, , ...more] = result.sentences; // after the verdict and the sentence
  const maps = result.overlays.map((picture, side) => overlay(picture, side, result));
  const shown = [make("div", {}, make("div", { class: "maps" }, ...maps), ...legend(result.scale))];
  if (result.regions.length) shown.push(table(result));
  return [
    make("div", { class: "pair" }, ...shown),
    ...more.map((text) => make("p", {}, `${sentence(text)}.`)),
    make("p", { class: "note" }, "This describes what the model used in these two photos. It is no evidence of its own that they show one person."),
  ];
}

function overlay(picture, side, result) {
  const bytes = Uint8Array.from(atob(picture), (one) => one.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  const image = make("img", { src: address, alt: described(side, result) });
  image.addEventListener("load", () => URL.revokeObjectURL(address));
  return make("figure", {}, image, make("figcaption", {}, `${PHOTOS[side]} face`));
}

// The map in words, for those who do not see it.
function described(side, result) {
  const falls = result.regions.map((one) => [one.name, side ? one.second : one.first]);
  const named = (sign) => falls.filter(([, fall]) => sign * fall >= result.smallest).map(([name]) => name).join(", ");
  const [carry, lower] = [named(1), named(-1)];
  const words = [carry && `carried by ${carry}`, lower && `lowered by ${lower}`].filter(Boolean).join("; ");
  return `${PHOTOS[side]} face under its map${words ? `: the score is ${words}` : ""}`;
}

function legend(scale) {
  const ends = [`${change(scale)}: carries the score`, `${change(-scale)}: lowers it`];
  return [
    make("p", { class: "legend" }, make("span", { class: "ramp", "aria-hidden": "true" }), ...ends.map((text) => make("span", {}, text))),
    make("p", { class: "note" }, "Color: change of the score with this place covered."),
  ];
}

function table(result) {
  const cells = (one) => [one.first, one.second].map((fall) => make("td", Math.abs(fall) < result.smallest ? { class: "small" } : {}, change(fall)));
  const head = ["Region", ...PHOTOS.map((name) => `${name} face`)].map((text) => make("th", { scope: "col" }, text));
  const rows = result.regions.map((one) => make("tr", {}, make("th", { scope: "row" }, sentence(one.name)), ...cells(one)));
  const caption = make("caption", {}, "Change of the score when a region of one face is covered");
  return make("table", { class: "regions" }, caption, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function change(fall) {
  return `${fall > 0 ? "\u2212" : "+"}${Math.abs(fall).toFixed(3)}`;
}
