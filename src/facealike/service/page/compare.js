// Compare two photos as soon as both are there.
import { send, sentence } from "./api.js";
import { make, problem, show } from "./elements.js";
import { offerExplanation } from "./explain.js";
import { PhotoSlot } from "./photo_slot.js";

export function startCompare() {
  const answer = document.getElementById("answer");
  const why = document.getElementById("why");
  const face = document.getElementById("face");
  const slots = ["first", "second"].map(
    (id) => new PhotoSlot(document.getElementById(id), id === "first" ? "First photo" : "Second photo", run),
  );
  let turn = 0;
  face.addEventListener("change", () => {
    for (const slot of slots) slot.number = null;
    run();
  });

  async function run() {
    const mine = ++turn;
    slots.forEach((slot) => slot.clear());
    why.replaceChildren();
    if (slots.some((slot) => slot.file === null)) return;
    show(answer, "", make("p", {}, "Comparing …"));
    try {
      const asked = fields();
      const result = await send("POST", "/v1/compare", asked);
      if (mine !== turn) return;
      report(result);
      offerExplanation(why, asked, () => mine === turn);
    } catch (error) {
      if (mine === turn) problem(answer, error);
    }
  }

  function fields() {
    const asked = { first: slots[0].file, second: slots[1].file, face: face.value };
    slots.forEach((slot) => {
      if (slot.number !== null) asked[`${slot.id}_face`] = slot.number;
    });
    // A chosen face is one; the other photo then gives its largest.
    if (face.value === "any" && slots.some((slot) => slot.number !== null)) asked.face = "largest";
    return asked;
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
    slots.forEach((slot, i) => result.faces[i] && mark(slot, result.faces[i], result.quality[i], result.faces_found[i]));
  }

  // The verdict is there; the other faces of a photo are looked for after it.
  async function mark(slot, used, quality, found) {
    const { file } = slot;
    slot.face(used, quality);
    if (found < 2 || slot.faces.length) return;
    const detected = await send("POST", "/v1/detect", { photo: file }).catch(() => null);
    if (detected === null || slot.file !== file) return;
    slot.offer(detected.faces.map((one) => one.face));
    slot.face(used, quality);
  }

  return slots;
}
