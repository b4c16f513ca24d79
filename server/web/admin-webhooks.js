// Webhooks on the admin page: add, switch, try, remove, and what became of the deliveries.
"use strict";
const adminWebhooks = (detail) => {
  const { make } = ui;
  const EVENTS = ["stream.started", "stream.ended", "stream.failed", "recording.ready", "viewer.peak"];
  const list = make("div", { class: "hooks" }), secretBox = make("div", {});
  const url = make("input", { type: "url", required: true, placeholder: "https://example.org/weir" });
  const boxes = EVENTS.map((name) => make("input", { type: "checkbox", value: name, checked: true }));
  const why = make("p", { class: "why", role: "alert" });
  const add = async (event) => {
    event.preventDefault();
    why.textContent = "";
    try {
      const events = boxes.filter((box) => box.checked).map((box) => box.value);
      if (!events.length) throw new Error("Choose at least one event.");
      const made = await api.post("/api/webhooks", { url: url.value.trim(), events });
      secretBox.replaceChildren(api.copyable("Secret of the signature, shown this once", made.secret, true));
      url.value = "";
      refresh();
    } catch (error) { why.textContent = error.message; }
  };
  const form = make("form", { class: "panel create", onsubmit: add }, make("h2", {}, "New webhook"), make("label", { class: "field" }, "Address that gets a signed POST", url),
    make("fieldset", {}, make("legend", {}, "Events"), ...boxes.map((box) => make("label", { class: "choice" }, box, box.value))), why, make("button", {}, "Add"), secretBox);
  detail.replaceChildren(make("section", { class: "panel" }, make("h2", {}, "Webhooks"), list), form);

  const word = { waiting: "waits", delivered: "taken", failed: "given up", dropped: "dropped" };
  const one = async (hook) => {
    const { items } = await api.get(`/api/webhooks/${hook.id}/deliveries`);
    const path = `/api/webhooks/${hook.id}`;
    const buttons = [
      make("button", { type: "button", class: "plain small", disabled: !hook.enabled, onclick: api.act(() => api.post(`${path}/ping`), "A ping is on its way.") }, "Ping"),
      hook.from_settings ? null : make("button", { type: "button", class: "plain small", onclick: api.act(async () => { await api.patch(path, { enabled: !hook.enabled }); refresh(); }) }, hook.enabled ? "Switch off" : "Switch on"),
      hook.from_settings ? null : make("button", { type: "button", class: "danger small", onclick: api.act(async () => { if (confirm(`Remove the webhook to ${hook.url}?`)) { await api.remove(path); refresh(); } }) }, "Remove"),
    ];
    const log = items.slice(0, 8).map((d) => make("li", {}, make("span", { class: `delivery ${d.state}` }, word[d.state]), ` ${d.event}, ${d.created_at.slice(0, 19).replace("T", " ")}`, d.attempts > 1 ? `, ${d.attempts} attempts` : "", d.error ? make("span", { class: "quiet" }, ` ${d.error}`) : ""));
    return make("article", { class: "hook" }, make("h3", {}, hook.url), make("p", { class: "quiet" }, `${hook.enabled ? "" : "off, "}${hook.from_settings ? "from the settings file, " : ""}${hook.events.length === EVENTS.length ? "all events" : hook.events.join(", ")}; ${hook.delivered} taken, ${hook.failed} given up, ${hook.waiting} waiting`), make("div", { class: "actions" }, ...buttons.filter(Boolean)), make("ul", {}, ...log));
  };
  let last = "";
  const refresh = async () => {
    try {
      const { items } = await api.get("/api/webhooks");
      const cards = await Promise.all(items.map(one));
      const text = cards.map((card) => card.textContent).join();
      // The same list stays the same elements, so that focus is not lost.
      if (text === last && list.childElementCount) return;
      last = text;
      list.replaceChildren(...(cards.length ? cards : [make("p", { class: "quiet" }, "None yet. A webhook is told when a stream starts, ends, fails, has its recording, or is watched by more people than ever.")]));
    } catch (error) { if (error.status !== 401) api.notice(error.message, true); }
  };
  refresh();
  const timer = setInterval(() => { if (!document.hidden) refresh(); }, 3000);
  return { stop: () => clearInterval(timer) };
};
