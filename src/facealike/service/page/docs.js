// Show the OpenAPI document: each operation with its parameters, body, example and answers.
import { send } from "./api.js";
import { make, problem } from "./elements.js";

const place = document.getElementById("operations");

try {
  const api = await send("GET", "/openapi.json");
  document.getElementById("about").textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      place.append(described(api, path, method, operation));
    }
  }
} catch (error) {
  problem(place, error);
}

function described(api, path, method, operation) {
  const summary = make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path));
  const box = make("details", { class: "operation" }, summary, make("p", {}, operation.description ?? operation.summary));
  for (const place of ["path", "query"]) {
    const here = (operation.parameters ?? []).filter((one) => one.in === place);
    if (here.length) box.append(table(`In the ${place}`, here.map((one) => [one.name, one.description ?? "", initial(one.schema)])));
  }
  for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
    box.append(fields(api, type, content.schema));
    if (content.example) box.append(make("pre", {}, JSON.stringify(content.example, null, 2)));
    else box.append(make("pre", {}, curl(path, content.schema)));
  }
  const good = operation.responses["200"]?.content?.["application/json"]?.schema;
  if (good?.$ref) box.append(fields(api, "Answer", good));
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  if (errors.length) box.append(table("Errors", errors.map(([status, one]) => [status, one.description, ""])));
  return box;
}

function fields(api, title, schema) {
  const found = schema.$ref ? api.components.schemas[schema.$ref.split("/").at(-1)] : schema;
  const needed = found.required ?? [];
  const rows = Object.entries(found.properties ?? {}).map(([name, one]) => [
    name,
    [kind(one), one.description ?? one.anyOf?.find((part) => part.description)?.description].filter(Boolean).join(". "),
    initial(one) || (needed.includes(name) ? "required" : ""),
  ]);
  return table(title, rows);
}

function initial(one) {
  return one.default === undefined || one.default === null || one.default === "" ? "" : `default ${one.default}`;
}

function kind(one) {
  if (one.enum) return one.enum.join(", ");
  if (one.const !== undefined) return String(one.const);
  if (one.anyOf) return one.anyOf.map(kind).join(" or ");
  if (one.$ref) return one.$ref.split("/").at(-1);
  if (one.type === "array") return one.items ? `list of ${kind(one.items)}` : "list";
  return one.format === "binary" ? "file" : (one.type ?? "any");
}

function curl(path, schema) {
  const files = Object.entries(schema.properties)
    .filter(([name]) => schema.required?.includes(name))
    .map(([name, one]) => `-F ${name}=${/binary/.test(JSON.stringify(one)) ? "@photo.jpg" : "TEXT"}`);
  return `curl ${files.join(" ")} ${location.origin}${path}`;
}

function table(title, rows) {
  const body = rows.map((row) => make("tr", {}, ...row.map((cell, i) => make("td", {}, i ? cell : make("code", {}, cell)))));
  return make("div", {}, make("h3", {}, title), make("table", {}, make("tbody", {}, ...body)));
}
