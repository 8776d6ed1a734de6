// Group the faces of a folder of dropped photos by person.
import { limits, send, sentence } from "./api.js";
import { make, problem, show } from "./elements.js";

const SIDE = 1280; // pixels of the longer side of a photo as it is sent
const FACE = 96; // pixels of a face as it is shown

export function startCluster() {
  const at = (id) => document.getElementById(id);
  const input = at("many");
  const place = at("many-drop");
  let turn = 0;
  input.addEventListener("change", () => group([...input.files]));
  place.addEventListener("dragover", () => place.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, () => place.classList.remove("over"));
  place.addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const dropped = [...event.dataTransfer.files];
    group(entries.some((entry) => entry.isDirectory) ? await filesOf(entries) : dropped);
  });

  async function group(files) {
    const mine = ++turn;
    const current = () => mine === turn;
    const photos = files.filter((file) => file.type.startsWith("image/"));
    const answer = at("people-found");
    at("groups").replaceChildren();
    try {
      const most = (await limits()).cluster_photos;
      if (!photos.length) throw new Error("There is no photo among these files.");
      const taken = photos.slice(0, most);
      const pictures = [];
      for (const photo of taken) {
        if (!current()) return;
        show(answer, "", make("p", {}, `Reading photo ${pictures.length + 1} of ${taken.length} …`));
        pictures.push(await reduced(photo));
      }
      show(answer, "", make("p", {}, `Grouping ${taken.length} ${taken.length === 1 ? "photo" : "photos"} …`));
      const gallery = at("many-gallery").value;
      const result = await send("POST", "/v1/cluster", { photos: pictures, ...(gallery ? { name_from: gallery } : {}) });
      if (current()) await report(result, pictures, taken, photos.length - taken.length);
    } catch (error) {
      if (current()) problem(answer, error);
    }
  }

  async function report(result, pictures, files, left) {
    const people = new Map();
    for (const face of result.faces) {
      if (face.person !== null) people.set(face.person, [...(people.get(face.person) ?? []), face]);
    }
    const names = new Map(result.matches.map((one) => [one.person, one.name]));
    const called = (person) => names.get(person) ?? `Person ${person}`;
    const poor = result.faces.filter((face) => face.person === null).length;
    show(
      at("people-found"),
      "",
      make("p", { class: "verdict" }, `${count(result.people, "person", "people")} in ${count(result.photos, "photo", "photos")}.`),
      ...(left ? [warn(`only the first ${result.photos} photos were taken; ${left} were left out`)] : []),
      ...(poor ? [warn(`${count(poor, "face is", "faces are")} too poor to group`)] : []),
      ...result.unused.map((one) => warn(`${files[one.photo - 1].name}: ${one.reason}`)),
      ...result.review.map((one) => warn(`${called(one.a)} and ${called(one.b)} may be one, score ${one.score.toFixed(3)}`)),
      make("p", {}, `${sentence(result.sentences[0])}.`),
    );
    for (const person of [...people.keys()].sort((a, b) => a - b)) {
      const row = make("ul", { class: "row-of-faces" });
      const faces = people.get(person);
      const title = `${called(person)}: ${count(faces.length, "face", "faces")}`;
      at("groups").append(make("section", {}, make("h3", {}, title), row));
      for (const face of faces) {
        const label = `${called(person)}, ${files[face.photo - 1].name}`;
        const picture = make("canvas", { width: FACE, height: FACE, role: "img", "aria-label": label, title: label });
        row.append(make("li", {}, picture));
        await draw(picture, pictures[face.photo - 1], face.box);
      }
    }
  }
}

// Small enough to send many; as it is, where this browser cannot read it but the service may.
async function reduced(file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const canvas = make("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((done) => canvas.toBlob((blob) => done(blob ?? file), "image/jpeg", 0.9));
}

async function draw(canvas, photo, [left, top, right, bottom]) {
  try {
    const picture = await createImageBitmap(photo);
    const side = Math.max(right - left, bottom - top) * 1.2;
    const [x, y] = [(left + right - side) / 2, (top + bottom - side) / 2];
    canvas.getContext("2d").drawImage(picture, x, y, side, side, 0, 0, FACE, FACE);
    picture.close();
  } catch {
    // The label says which photo it is.
  }
}

async function filesOf(entries) {
  const found = [];
  for (const entry of entries) {
    if (entry.isFile) found.push(await new Promise((done, fail) => entry.file(done, fail)));
    else found.push(...(await filesOf(await inFolder(entry))));
  }
  return found;
}

async function inFolder(entry) {
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    found.push(...some);
  }
}

function warn(text) {
  return make("p", { class: "warning" }, `${text}.`);
}

function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
