// The admin page's way to the API: the token in its header, errors as sentences, short notices.
"use strict";
const api = (() => {
  const KEY = "weir-token";
  let onLogin = () => {};
  const token = () => sessionStorage.getItem(KEY) ?? "";
  const notice = (text, bad) => {
    const toast = ui.byId("toast");
    toast.textContent = text;
    toast.classList.toggle("bad", Boolean(bad));
    toast.hidden = false;
    clearTimeout(notice.timer);
    notice.timer = setTimeout(() => { toast.hidden = true; }, bad ? 8000 : 3500);
  };
  // Answers the JSON, or null for an empty answer; throws an Error whose message can be shown.
  const call = async (method, path, body, type = "application/json") => {
    const headers = {};
    if (token()) headers.Authorization = `Bearer ${token()}`;
    const raw = body instanceof Blob;
    if (body !== undefined) headers["Content-Type"] = raw ? "application/octet-stream" : type;
    const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : raw ? body : JSON.stringify(body), cache: "no-store" });
    const text = await answer.text();
    const json = text ? JSON.parse(text) : null;
    if (answer.ok) return json;
    if (answer.status === 401) onLogin();
    const error = new Error(json?.detail ?? `The server answered ${answer.status}.`);
    error.status = answer.status;
    throw error;
  };
  // For buttons: does it, says how it went, and keeps the button from being pressed twice.
  const act = (work, done) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const result = await work();
      if (done) notice(typeof done === "function" ? done(result) : done);
    } catch (error) { notice(error.message, true); }
    button.disabled = false;
  };
  const copy = async (text, button) => {
    const say = (word) => { const old = button.textContent; button.textContent = word; setTimeout(() => { button.textContent = old; }, 1500); };
    try { await navigator.clipboard.writeText(text); say("Copied"); } catch {
      // Without https browsers keep the clipboard closed: the text is at least marked.
      const field = button.parentElement.querySelector("input");
      field?.select();
      say(document.execCommand?.("copy") ? "Copied" : "Press Ctrl-C");
    }
  };
  // A value to copy: for stream keys and addresses.
  const copyable = (title, text, secret) => {
    const input = ui.make("input", { value: text, readonly: true, type: secret ? "password" : "text", "aria-label": title, autocomplete: "off", onfocus: (e) => e.target.select() });
    return ui.make("div", { class: "copy" }, ui.make("span", { class: "quiet" }, title), ui.make("div", {}, input,
      secret ? ui.make("button", { type: "button", class: "plain", onclick: (e) => { input.type = input.type === "password" ? "text" : "password"; e.currentTarget.textContent = input.type === "password" ? "Show" : "Hide"; } }, "Show") : null,
      ui.make("button", { type: "button", class: "plain", onclick: (e) => copy(text, e.currentTarget) }, "Copy")));
  };
  return {
    call, act, notice, copyable,
    hasToken: () => Boolean(token()),
    login: (value) => sessionStorage.setItem(KEY, value),
    logout: () => sessionStorage.removeItem(KEY),
    onLogin: (work) => { onLogin = work; },
    get: (path) => call("GET", path), post: (path, body) => call("POST", path, body), patch: (path, body) => call("PATCH", path, body, "application/merge-patch+json"), remove: (path) => call("DELETE", path),
  };
})();
