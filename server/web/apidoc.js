// Shows /openapi.json for people.
"use strict";
(async () => {
  const { make } = ui;
  const place = ui.byId("api");
  let document_;
  try { document_ = await (await fetch("/openapi.json")).json(); } catch { place.replaceChildren(make("p", { class: "why" }, "The description could not be loaded; reload the page.")); return; }
  const schemas = document_.components.schemas;
  const resolve = (schema) => { const name = schema?.$ref?.split("/").at(-1); return name ? { ...schemas[name], name } : schema ?? {}; };
  const type = (raw) => {
    const schema = resolve(raw);
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
    if (schema.oneOf ?? schema.anyOf) return "one of";
    const name = [].concat(schema.type ?? "anything").join(" or ");
    return name === "array" ? `list of ${type(schema.items)}` : name;
  };
  const limits = (schema) => [schema.minimum !== undefined ? `from ${schema.minimum}` : null, schema.maximum !== undefined ? `to ${schema.maximum}` : null, schema.minLength ? `at least ${schema.minLength} characters` : null, schema.maxLength ? `at most ${schema.maxLength} characters` : null, schema.pattern ? `matches ${schema.pattern}` : null, schema.default !== undefined ? `${JSON.stringify(schema.default)} if absent` : null, schema.description].filter(Boolean).join(", ");
  // The members of an object, as deep as somebody still reads.
  const members = (raw, depth = 0) => {
    const schema = resolve(raw);
    const choices = schema.oneOf ?? schema.anyOf;
    if (choices) return make("ul", {}, choices.map((one) => make("li", {}, members(one, depth + 1) ?? type(one))));
    const inner = schema.type === "array" ? schema.items : null;
    if (inner) return members(inner, depth);
    if (!schema.properties || depth > 3) return null;
    const required = schema.required ?? [];
    return make("ul", { class: "members" }, Object.entries(schema.properties).map(([name, value]) => make("li", {}, make("code", {}, name), " ", make("span", { class: "quiet" }, [type(value), required.includes(name) ? "needed" : null, limits(resolve(value))].filter(Boolean).join(", ")), members(value, depth + 1))));
  };
  const content = (what) => Object.entries(what?.content ?? {}).map(([kind, { schema }]) => {
    const body = schema && kind !== "application/problem+json" ? members(schema) : null;
    return make("div", {}, make("code", {}, kind), body);
  });
  const operation = (path, shared, method, op) => {
    const parameters = [...shared, ...(op.parameters ?? [])].map((raw) => (raw.$ref ? document_.components.parameters?.[raw.$ref.split("/").at(-1)] : raw)).filter(Boolean);
    const secured = op.security?.some((one) => one.token);
    const id = `${method}${path}`.replaceAll(/[^a-z0-9]+/gi, "-");
    return make("details", { class: "op", id }, make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()), make("code", {}, path), make("span", { class: "quiet" }, op.summary ?? "")),
      make("div", { class: "op-body" },
        op.description ? make("p", {}, op.description) : null,
        secured ? make("p", { class: "quiet" }, "For admins: with the token where the server has one.") : null,
        parameters.length ? [make("h3", {}, "Parameters"), make("ul", { class: "members" }, parameters.map((p) => make("li", {}, make("code", {}, p.name), " ", make("span", { class: "quiet" }, [p.in, type(p.schema), p.required ? "needed" : null, limits({ ...resolve(p.schema), description: p.description })].filter(Boolean).join(", ")))))] : null,
        op.requestBody ? [make("h3", {}, "Body"), ...content(op.requestBody)] : null,
        make("h3", {}, "Answers"), make("ul", { class: "members" }, Object.entries(op.responses).map(([status, answer]) => make("li", {}, make("b", {}, status), ` ${answer.description}`, ...content(answer))))));
  };
  const METHODS = ["get", "head", "post", "put", "patch", "delete"];
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    const group = path.startsWith("/api/stream") ? "Streams" : /^\/api\/(session|beacon|events)/.test(path) ? "Viewers and events" : path.startsWith("/api/webhooks") ? "Webhooks" : path.startsWith("/api/upload") ? "Uploads" : path.startsWith("/stream/") ? "Media" : /^\/(api|metrics|healthz|readyz|openapi)/.test(path) ? "Operations" : "Pages";
    const list = groups.get(group) ?? groups.set(group, []).get(group);
    for (const method of METHODS) if (item[method]) list.push(operation(path, item.parameters ?? [], method, item[method]));
  }
  place.replaceChildren(...[...groups].map(([name, list]) => make("section", {}, make("h2", {}, name), ...list)));
  if (location.hash) { const chosen = ui.byId(location.hash.slice(1)); if (chosen) { chosen.open = true; chosen.scrollIntoView(); } }
})();
