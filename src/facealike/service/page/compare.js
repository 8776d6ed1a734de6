// Compare two photos as soon as both are there.
import { send, sentence } from "./api.js";
import { make, problem, show } from "./elements.js";
import { PhotoSlot } from "./photo_slot.js";

export function startCompare() {
  const answer = document.getElementById("answer");
  const face = document.getElementById("face");
  const slots = ["first", "second"].map(
    (id) => new PhotoSlot(document.getElementById(id), id === "first" ? "First photo" : "Second photo", run),
  );
  let turn = 0;
  face.addEventListener("change", run);

  async function run() {
    slots.forEach((slot) => slot.clear());
    if (slots.some((slot) => slot.file === null)) return;
    const mine = ++turn;
    show(answer, "", make("p", {}, "Comparing …"));
    try {
      const fields = { first: slots[0].file, second: slots[1].file, face: face.value };
      const result = await send("POST", "/v1/compare", fields);
      if (mine === turn) report(result);
    } catch (error) {
      if (mine === turn) problem(answer, error);
    }
  }

  function report(result) {
    const [verdict, ...more] = result.sentences;
    show(
      answer,
      result.uncertain ? "unsure" : result.verdict,
      make("p", { class: "verdict" }, `${sentence(verdict)}.`),
      ...result.warnings.map((text) => make("p", { class: "warning" }, `${text}.`)),
      ...more.map((text) => make("p", {}, `${sentence(text)}.`)),
    );
    slots.forEach((slot, i) => result.faces[i] && slot.face(result.faces[i], result.quality[i]));
  }

  return slots;
}
