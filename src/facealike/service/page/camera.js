// Take a photo with a camera, in a dialog: the camera is on while it is open, and only "Use" passes the photo on.
import { make } from "./elements.js";

const at = (id) => document.getElementById(id);
const SIZE = { width: { ideal: 1280 }, height: { ideal: 720 } };
const QUALITY = 0.95; // of the JPEG
const REASONS = {
  NotAllowedError: "This page may not use the camera; allow it in the browser, or choose a file.",
  NotFoundError: "No camera was found; connect one, or choose a file.",
  NotReadableError: "The camera does not answer; close other programs that use it, or choose a file.",
};

let stream = null;
let chosen = null; // the camera that was chosen, until the page is left
let photo = null;
let address = null; // of the photo, for its picture
let pass = null; // what gets the photo
let turn = 0;

// A button beside the choice of a file; none where the browser gives no camera, as over plain HTTP.
export function cameraButton(label, use) {
  if (!navigator.mediaDevices) return [];
  const attributes = { type: "button", class: "plain", "aria-haspopup": "dialog", "aria-label": `${label}: take a photo` };
  const button = make("button", attributes, "Take a photo");
  button.addEventListener("click", () => {
    pass = use;
    at("camera").showModal();
    start();
  });
  return [button];
}

export function startCamera() {
  at("take").addEventListener("click", take);
  at("retake").addEventListener("click", () => (stream.active ? live() : start()));
  at("use").addEventListener("click", () => {
    const taken = photo;
    at("camera").close();
    pass(taken);
  });
  at("cancel").addEventListener("click", () => at("camera").close());
  at("camera").addEventListener("close", stop); // also by the Escape key
  at("cameras").addEventListener("change", () => {
    chosen = at("cameras").value;
    start();
  });
}

async function start() {
  stop();
  const mine = turn;
  let found;
  view("waiting");
  say("Waiting for the camera …");
  try {
    const which = chosen ? { deviceId: { exact: chosen } } : { facingMode: "user" };
    found = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...SIZE, ...which } });
    if (mine !== turn) return end(found); // closed while the browser asked
    stream = found;
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => mine === turn && photo === null && fail("NotReadableError"));
    at("live").srcObject = stream;
    await at("live").play();
    const all = await navigator.mediaDevices.enumerateDevices();
    if (mine === turn) ready(track.getSettings(), all.filter((one) => one.kind === "videoinput"));
  } catch (error) {
    if (mine === turn) fail(error.name);
  }
}

function ready(settings, cameras) {
  // Who looks into it expects a mirror; a rear camera looks away.
  at("live").classList.toggle("mirror", settings.facingMode !== "environment");
  const options = cameras.map((one, i) => make("option", { value: one.deviceId }, one.label || `Camera ${i + 1}`));
  at("cameras").replaceChildren(...options);
  at("cameras").value = settings.deviceId;
  live();
}

function live() {
  forget();
  view("live");
  const mirrored = at("live").classList.contains("mirror");
  say(mirrored ? "The camera is on. You see a mirror image; the photo is not mirrored." : "The camera is on.");
}

async function take() {
  const mine = turn;
  const video = at("live");
  if (at("take").getAttribute("aria-disabled") === "true") return;
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0); // as the camera sees it, not as the mirror shows it
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  if (mine !== turn) return;
  forget();
  photo = new File([blob], "taken.jpg", { type: "image/jpeg" });
  address = URL.createObjectURL(photo);
  at("taken").src = address;
  view("taken");
  say("This is the photo. Use it, or retake it.");
}

function fail(name) {
  stop();
  chosen = null;
  view("failed");
  const reason = name === "OverconstrainedError" ? "NotFoundError" : name;
  say(REASONS[reason] ?? "The camera cannot be used; choose a file.", "problem");
}

function stop() {
  turn++;
  if (stream) end(stream);
  stream = null;
  at("live").srcObject = null;
  forget();
}

function end(ended) {
  for (const track of ended.getTracks()) track.stop();
}

function forget() {
  if (address) URL.revokeObjectURL(address);
  at("taken").removeAttribute("src");
  photo = address = null;
}

function view(state) {
  const over = state === "taken" || state === "failed";
  at("viewfinder").hidden = at("camera-note").hidden = state === "failed";
  at("live").hidden = over;
  at("taken").hidden = at("retake").hidden = at("use").hidden = state !== "taken";
  at("take").hidden = over;
  at("take").setAttribute("aria-disabled", state === "waiting"); // a disabled button would lose the focus
  at("choice").hidden = over || at("cameras").options.length < 2;
  const next = { taken: "use", failed: "cancel" }[state] ?? "take";
  if (over || document.activeElement !== at("cameras")) at(next).focus();
}

function say(text, kind = "") {
  at("camera-status").className = kind;
  at("camera-status").textContent = text;
}
