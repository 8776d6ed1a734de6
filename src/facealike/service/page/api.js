// Requests to the service that this page came from; an error carries the service's own sentence.

export async function send(method, path, fields) {
  const body = fields === undefined ? undefined : form(fields);
  let response;
  try {
    response = await fetch(path, { method, body });
  } catch {
    throw new Error("The service does not answer; see that it still runs.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(sentence(answer.detail ?? `The service answers with the status ${response.status}.`));
    error.wait = Number(response.headers.get("Retry-After")); // seconds; 0 where waiting does not help
    throw error;
  }
  return answer;
}

let asked = null;

// What the service says of its model and its limits, asked for once.
export function describe() {
  asked ??= send("GET", "/v1/model").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

export async function limits() {
  return (await describe()).limits;
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      // Names of files stay here.
      if (one instanceof Blob) data.append(name, one, "photo");
      else data.append(name, one);
    }
  }
  return data;
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function inGallery(name, rest) {
  return `/v1/galleries/${encodeURIComponent(name)}/${rest}`;
}
