// The enrolled people of a gallery: the newest first, a page at a time, or those whose name holds a text.
import { inGallery, send } from "./api.js";
import { make, problem } from "./elements.js";

const PAGE = 50;
const PAUSE = 250; // milliseconds after the last key until the search is sent

export function startPeople(gallery, forget) {
  const at = (id) => document.getElementById(id);
  const search = at("search");
  const more = at("more");
  let there = false; // whether there is such a gallery
  let turn = 0;
  let next = null;
  let timer = null;

  async function list(exists) {
    there = exists;
    await add(true);
  }

  async function add(first) {
    const mine = ++turn;
    try {
      const answer = await page(first ? null : next);
      if (mine !== turn) return;
      const rows = Object.entries(answer.people).map(([person, count]) => row(person, count));
      if (first) at("people").replaceChildren();
      at("people").append(...rows);
      next = answer.next;
      const focused = document.activeElement === more;
      more.hidden = next === null;
      if (focused && more.hidden) rows[0]?.querySelector("button").focus();
      at("people-count").replaceChildren(summary(answer.total));
    } catch (error) {
      if (mine !== turn) return;
      if (first) at("people").replaceChildren();
      more.hidden = true;
      problem(at("people-count"), error);
    }
  }

  async function page(after) {
    if (!there) return { people: {}, next: null, total: 0 };
    const asked = new URLSearchParams({ limit: PAGE });
    if (search.value) asked.set("search", search.value);
    if (after !== null) asked.set("after", after);
    return send("GET", inGallery(gallery.value, `people?${asked}`));
  }

  function row(person, count) {
    const button = make("button", { type: "button", class: "plain", "aria-label": `Forget ${person}` }, "Forget");
    button.addEventListener("click", () => forget(person));
    return make("li", {}, make("span", {}, `${person} (${count} ${count === 1 ? "photo" : "photos"})`), button);
  }

  function summary(total) {
    const shown = at("people").children.length;
    if (!shown) return search.value ? "Nobody of that name." : "Nobody yet.";
    const who = shown === 1 ? "1 person" : `${shown.toLocaleString("en")} people`;
    if (search.value) return next === null ? `${who} found.` : `The first ${who} found.`;
    return next === null ? `${who}.` : `The newest ${who} of ${total.toLocaleString("en")}.`;
  }

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(add, PAUSE, true);
  });
  more.addEventListener("click", () => add(false));
  return { list };
}
