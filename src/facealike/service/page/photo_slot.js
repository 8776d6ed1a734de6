// A place for one photo: choose, drop, paste or take it; its faces are drawn over it, and can be chosen.
import { cameraButton } from "./camera.js";
import { make, shape } from "./elements.js";

export class PhotoSlot {
  constructor(place, label, changed) {
    this.file = null;
    this.number = null; // of the face that was chosen, from 1
    this.faces = []; // all of the photo, where it shows several
    this.id = place.id;
    this.label = label;
    this.input = make("input", { type: "file", accept: "image/*", "aria-label": `${label}: choose a file` });
    this.body = make("div");
    this.drop = make("div", { class: "drop" }, this.body, this.input);
    this.caption = make("p", { class: "caption" });
    this.choices = make("div");
    const camera = cameraButton(label, (file) => this.take(file));
    place.replaceChildren(this.drop, ...camera, this.caption, this.choices);
    this.changed = changed;
    this.empty();
    this.input.addEventListener("change", () => this.input.files.length && this.take(this.input.files[0]));
    for (const kind of ["dragenter", "dragover"]) {
      this.drop.addEventListener(kind, (event) => {
        event.preventDefault();
        this.drop.classList.add("over");
      });
    }
    for (const kind of ["dragleave", "drop"]) {
      this.drop.addEventListener(kind, () => this.drop.classList.remove("over"));
    }
    this.drop.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files[0]);
    });
  }

  empty() {
    this.body.replaceChildren(make("strong", {}, this.label), "Drop or paste a photo here, or choose a file.");
  }

  take(file) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.file = file;
    this.address = URL.createObjectURL(file);
    this.image = make("img", { src: this.address, alt: this.label });
    this.overlay = shape("svg", { "aria-hidden": "true" });
    const view = make("div", { class: "view" }, this.image);
    view.append(this.overlay);
    this.image.addEventListener("error", () => {
      this.body.replaceChildren(make("strong", {}, this.label), "A photo that this browser cannot show.");
    });
    this.body.replaceChildren(view);
    this.caption.textContent = "";
    this.choices.replaceChildren();
    this.faces = [];
    this.number = null;
    this.changed();
  }

  // Draw the face that was used, and say how good it is.
  async face(face, quality) {
    const words = quality ? `, quality ${quality.score.toFixed(2)}` : "";
    const reasons = quality?.reasons.length ? `: ${quality.reasons.join(", ")}` : "";
    this.caption.textContent = `Face found${words}${reasons}.`;
    const all = this.faces.length ? this.faces : [face];
    const used = all.findIndex((one) => same(one.box, face.box));
    const radio = this.choices.querySelectorAll("input")[used];
    if (radio) radio.checked = true;
    try {
      await this.image.decode();
    } catch {
      return;
    }
    const { naturalWidth: width, naturalHeight: height } = this.image;
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.overlay.replaceChildren(...all.flatMap((one, i) => this.box(one.box, i, i === used, Math.max(width, height) / 22)));
  }

  box([left, top, right, bottom], i, used, size) {
    const values = { x: left, y: top, width: right - left, height: bottom - top, rx: 4 };
    const parts = [shape("rect", { ...values, class: "halo" }), shape("rect", { ...values, class: used ? "" : "other" })];
    if (this.faces.length > 1) {
      parts[1].addEventListener("click", () => this.choose(i + 1));
      const number = shape("text", { x: left + size / 4, y: top + size, "font-size": size });
      number.textContent = i + 1;
      parts.push(number);
    }
    return parts;
  }

  // Offer all faces of a photo that shows several.
  offer(faces) {
    this.faces = faces;
    const radios = faces.map((_, i) => {
      const radio = make("input", { type: "radio", name: `${this.id}-face`, value: i + 1 });
      radio.addEventListener("change", () => this.choose(i + 1));
      return make("label", {}, radio, ` ${i + 1}`);
    });
    this.choices.replaceChildren(
      make("fieldset", { class: "faces" }, make("legend", {}, `${faces.length} faces; which one?`), ...radios),
    );
  }

  choose(number) {
    this.number = number;
    this.changed();
  }

  clear() {
    this.overlay?.replaceChildren();
    this.caption.textContent = "";
  }
}

function same(one, other) {
  return one.every((value, i) => Math.abs(value - other[i]) < 0.5);
}
