// Tabs, pasted photos, and what the page says about itself.
import { describe } from "./api.js";
import { startCamera } from "./camera.js";
import { startCluster } from "./cluster.js";
import { startCompare } from "./compare.js";
import { startGallery } from "./gallery.js";
import { startReport } from "./report.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const compareSlots = startCompare();
const gallery = startGallery();
startCamera();
startCluster();
const report = startReport();
const slots = { compare: compareSlots, gallery: gallery.slots, cluster: [], report: [] };
let current = "compare";

function open(tab, focus) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  current = tab.getAttribute("aria-controls");
  if (focus) tab.focus();
  if (current === "gallery") gallery.list();
  if (current === "report") report.open();
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => open(tab, false));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) open(tabs[(i + step + tabs.length) % tabs.length], true);
  });
});

document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (!file || !slots[current].length || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  const focused = slots[current].find((slot) => slot.input === document.activeElement);
  const slot = focused ?? slots[current].find((one) => one.file === null) ?? slots[current].at(-1);
  slot.take(file);
});
// A photo that misses its place must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
document.getElementById("privacy").textContent = here
  ? "Nothing leaves this machine, and no photo is kept."
  : `Photos go to the service at ${location.host} and nowhere else, and no photo is kept.`;
describe().then(
  (model) => {
    const footer = `Model ${model.name} (${model.id}) on ${model.device}, facealike ${model.version}.`;
    document.getElementById("model").textContent = footer;
  },
  (error) => {
    document.getElementById("model").textContent = error.message;
  },
);
const wanted = tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash);
if (wanted) open(wanted, false);
