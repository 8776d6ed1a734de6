// Make elements; text is always text, never markup.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function show(place, kind, ...children) {
  place.classList.remove("same", "different", "unsure", "match", "unknown");
  if (kind) place.classList.add(kind);
  place.replaceChildren(...children);
}

export function problem(place, error) {
  show(place, "", make("p", { class: "problem" }, error.message));
}
