// A place for one photo: choose, drop or paste it; the face that was used is drawn over it.
import { make } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";

export class PhotoSlot {
  constructor(place, label, changed) {
    this.file = null;
    this.label = label;
    this.input = make("input", { type: "file", accept: "image/*", "aria-label": `${label}: choose a file` });
    this.body = make("div");
    this.drop = make("div", { class: "drop" }, this.body, this.input);
    this.caption = make("p", { class: "caption" });
    place.replaceChildren(this.drop, this.caption);
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
    this.overlay = document.createElementNS(SVG, "svg");
    this.overlay.setAttribute("aria-hidden", "true");
    const view = make("div", { class: "view" }, this.image);
    view.append(this.overlay);
    this.image.addEventListener("error", () => {
      this.body.replaceChildren(make("strong", {}, this.label), "A photo that this browser cannot show.");
    });
    this.body.replaceChildren(view);
    this.caption.textContent = "";
    this.changed();
  }

  async face(face, quality) {
    const words = quality ? `quality ${quality.score.toFixed(2)}` : "";
    const reasons = quality?.reasons.length ? `: ${quality.reasons.join(", ")}` : "";
    this.caption.textContent = `Face found; ${words}${reasons}`;
    try {
      await this.image.decode();
    } catch {
      return;
    }
    this.overlay.setAttribute("viewBox", `0 0 ${this.image.naturalWidth} ${this.image.naturalHeight}`);
    const [left, top, right, bottom] = face.box;
    this.overlay.replaceChildren(
      ...["halo", ""].map((kind) => {
        const box = document.createElementNS(SVG, "rect");
        const values = { x: left, y: top, width: right - left, height: bottom - top, rx: 4, class: kind };
        for (const [name, value] of Object.entries(values)) box.setAttribute(name, value);
        return box;
      }),
    );
  }

  clear() {
    this.overlay?.replaceChildren();
    this.caption.textContent = "";
  }
}
