// The admin page: log in, the list of streams at the side, and what is chosen beside it, by the address's fragment.
"use strict";
(() => {
  const { byId, make } = ui;
  const detail = byId("detail"), list = byId("list");
  let view = null, shown = "", handed = null;
  const login = (why) => {
    byId("admin").hidden = true;
    byId("login").hidden = false;
    byId("login-why").textContent = why ?? "";
    byId("token").focus();
  };
  api.onLogin(() => { const had = api.hasToken(); api.logout(); login(had ? "The token is not right." : ""); });
  byId("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.login(byId("token").value.trim());
    byId("token").value = "";
    enter();
  });
  byId("logout").addEventListener("click", () => { api.logout(); location.reload(); });
  byId("new").addEventListener("click", () => { location.hash = "new"; });

  const route = () => {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (hash === shown) return;
    const came = shown !== null;
    shown = hash;
    view?.stop?.();
    view = null;
    for (const link of list.querySelectorAll("a")) link.removeAttribute("aria-current");
    if (hash.startsWith("stream/")) {
      const id = hash.slice(7);
      view = adminStream(detail, id, () => { location.hash = ""; refresh(); });
      if (handed?.id === id) view.made(handed);
      handed = null;
      list.querySelector(`[data-id="${CSS.escape(id)}"]`)?.setAttribute("aria-current", "page");
      if (matchMedia("(max-width: 56rem)").matches && came) detail.scrollIntoView();
    } else if (hash === "webhooks") view = adminWebhooks(detail);
    else if (hash === "new") adminCreate(detail, (made) => { handed = made; refresh(); location.hash = `stream/${made.id}`; });
    else detail.replaceChildren(make("p", { class: "empty" }, "Choose a stream, or make a new one."));
  };
  addEventListener("hashchange", route);

  let known = "";
  const paint = (items) => {
    const text = JSON.stringify(items.map((s) => [s.id, s.title, s.state, s.status, s.viewers.current, Math.round(s.progress * 100)]));
    if (text === known) return;
    known = text;
    const focused = document.activeElement?.dataset?.id;
    list.replaceChildren(...items.map((stream) => make("li", {}, make("a", { href: `#stream/${stream.id}`, "data-id": stream.id, "aria-current": shown === `stream/${stream.id}` ? "page" : null },
      make("span", { class: "name" }, stream.title), make("span", { class: "meta" }, make("span", { class: `state ${stream.state}` }, stream.state === "packaging" ? `${Math.round(stream.progress * 100)} %` : stream.status), make("span", { class: stream.viewers.current ? "viewers some" : "viewers" }, String(stream.viewers.current), make("span", { class: "hidden" }, " viewers")))))));
    if (!items.length) list.replaceChildren(make("li", { class: "quiet" }, "None yet."));
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  };
  const refresh = async () => {
    try { paint((await api.get("/api/streams?per_page=200")).items); } catch (error) { if (error.status !== 401) api.notice(error.message, true); }
  };

  let timer;
  const enter = async () => {
    // Asks for something that needs the token, so that a wrong one is told at once.
    try { await api.get("/api/webhooks"); } catch (error) { if (error.status === 401) return; login(error.message); return; }
    byId("login").hidden = true;
    byId("admin").hidden = false;
    byId("logout").hidden = !api.hasToken();
    await refresh();
    shown = null;
    route();
    clearInterval(timer);
    timer = setInterval(() => { if (!document.hidden) refresh(); }, 2000);
  };
  enter();
})();
