// Enroll, identify and forget in one gallery.
import { inGallery, send, sentence } from "./api.js";
import { cameraButton } from "./camera.js";
import { make, problem, show } from "./elements.js";
import { startPeople } from "./people.js";
import { PhotoSlot } from "./photo_slot.js";

const VERDICTS = {
  match: ["match", "Match"],
  uncertain: ["unsure", "Uncertain: look at the candidates"],
  unknown: ["unknown", "Unknown: nobody enrolled here"],
};

export function startGallery() {
  const at = (id) => document.getElementById(id);
  const name = at("name");
  const slot = new PhotoSlot(at("probe"), "Photo to identify", identify);
  let turn = 0;

  async function identify() {
    slot.clear();
    if (slot.file === null || !name.reportValidity()) return;
    const mine = ++turn;
    show(at("found"), "", make("p", {}, "Searching …"));
    try {
      const result = await send("POST", inGallery(name.value, "identify"), { photo: slot.file });
      if (mine === turn) report(result);
    } catch (error) {
      if (mine === turn) problem(at("found"), error);
    }
  }

  function report(result) {
    const [kind, words] = VERDICTS[result.decision] ?? ["", "The model is not calibrated"];
    const first = result.candidates[0];
    const rows = result.candidates.map((one) =>
      make("tr", {}, make("td", {}, one.person), make("td", {}, one.score.toFixed(3)), make("td", {}, share(one.probability))),
    );
    const head = make("tr", {}, ...["Candidate", "Score", "Probability"].map((text) => make("th", { scope: "col" }, text)));
    show(
      at("found"),
      kind,
      make("p", { class: "verdict" }, kind === "match" ? `${words}: ${first.person}.` : `${words}.`),
      ...result.sentences.slice(1).map((text) => make("p", {}, `${sentence(text)}.`)),
      ...(result.quality?.poor ? [make("p", { class: "warning" }, `the face is poor: ${result.quality.reasons.join(", ")}.`)] : []),
      ...(rows.length ? [make("table", { class: "candidates" }, make("thead", {}, head), make("tbody", {}, ...rows))] : []),
    );
    if (result.face) slot.face(result.face, result.quality);
  }

  const people = startPeople(name, forget);

  async function list() {
    const { galleries } = await send("GET", "/v1/galleries").catch(() => ({ galleries: [] }));
    at("galleries").replaceChildren(...galleries.map((one) => make("option", { value: one })));
    await people.list(galleries.includes(name.value));
  }

  async function forget(person) {
    if (!confirm(`Forget ${person} for good?`)) return;
    try {
      await send("DELETE", inGallery(name.value, `people/${encodeURIComponent(person)}`));
      show(at("enrolled"), "", make("p", {}, `${person} is forgotten.`));
    } catch (error) {
      problem(at("enrolled"), error);
    }
    await list();
    name.focus();
  }

  at("photos-camera").replaceChildren(...cameraButton("Photos to enroll", add));

  // A photo that is taken joins those that are chosen; all are sent by "Enroll".
  function add(photo) {
    const all = new DataTransfer();
    for (const one of [...at("photos").files, photo]) all.items.add(one);
    at("photos").files = all.files;
    const count = all.files.length;
    show(at("enrolled"), "", make("p", {}, `${count} ${count === 1 ? "photo" : "photos"} to enroll.`));
  }

  at("enroll").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!name.reportValidity()) return;
    const button = at("enroll").querySelector("[type=submit]");
    button.disabled = true;
    show(at("enrolled"), "", make("p", {}, "Enrolling …"));
    try {
      const fields = { person: at("person").value, photos: [...at("photos").files] };
      const result = await send("POST", inGallery(name.value, "people"), fields);
      const known = result.known ? `, ${result.known} known already` : "";
      show(
        at("enrolled"),
        "",
        make("p", {}, `${result.person}: ${result.added} added${known}.`),
        ...warnings(result).map((text) => make("p", { class: "warning" }, `${text}.`)),
      );
      at("enroll").reset();
    } catch (error) {
      problem(at("enrolled"), error);
    }
    button.disabled = false;
    await list();
  });
  name.addEventListener("change", async () => {
    if (!name.reportValidity()) return;
    await list();
    await identify();
  });
  return { slots: [slot], list };
}

function warnings(result) {
  return [
    ...result.refused.map((one) => one.reason),
    ...result.lookalikes.map((one) => `looks like ${one.other}${one.duplicate ? ", probably the same person" : ""}`),
    ...result.outliers.map((one) => `${one.photo} looks like none of the other photos`),
  ];
}

function share(probability) {
  if (probability === null) return "–";
  if (probability > 0.999) return "above 0.999";
  return probability < 0.001 ? "below 0.001" : probability.toFixed(3);
}
