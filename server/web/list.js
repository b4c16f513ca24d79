// Keeps the list of streams up to date. Everything on the page works without it.
"use strict";
(() => {
  const list = document.getElementById("streams");
  const note = document.getElementById("note");
  if (!list || !window.EventSource) return;
  // Filters and later pages are the server's business: only the plain first page follows events.
  if (location.search) return;

  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const length = (seconds) => {
    const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };
  const card = (stream) => {
    const item = make("li", "card");
    item.dataset.id = stream.id;
    const poster = make("div", "poster");
    if (stream.urls.poster) {
      const image = make("img");
      image.src = stream.urls.poster;
      image.alt = "";
      poster.append(image);
    } else if (stream.state === "idle" || (stream.state === "ended" && !stream.playable)) {
      const nothing = make("span", "nothing", "Not on air");
      nothing.setAttribute("aria-hidden", "true");
      poster.append(nothing);
    }
    const live = stream.state === "live";
    if (live) poster.append(make("span", "badge", "Live"));
    if (stream.duration_s && !live) poster.append(make("span", "length", length(stream.duration_s)));
    const text = make("div", "text"), title = make("h2"), link = make("a", "", stream.title);
    link.href = stream.urls.page;
    title.append(link);
    const meta = make("div", "meta");
    meta.append(make("span", `state ${stream.state}`, stream.status));
    const n = stream.viewers.current;
    meta.append(make("span", n ? "viewers some" : "viewers", n === 1 ? "1 viewer" : `${n} viewers`));
    const top = stream.renditions.filter((r) => r.kind === "video").at(-1);
    if (top) meta.append(make("span", "", `up to ${top.height}p`));
    text.append(title, meta);
    if (stream.state === "packaging" || stream.state === "queued") {
      const bar = make("progress");
      bar.max = 1;
      bar.value = stream.progress;
      bar.setAttribute("aria-label", "packaged");
      text.append(bar);
    }
    if (stream.error) text.append(make("p", "why", stream.error));
    item.append(poster, text);
    return item;
  };

  const known = new Map();
  const events = new EventSource("/api/events");
  events.addEventListener("streams", (event) => {
    const { items, total } = JSON.parse(event.data);
    const focused = document.activeElement?.closest(".card")?.dataset.id;
    const cards = items.map((stream) => {
      // A card that says the same stays the same element, so that focus and images do not flicker.
      const live = stream.state === "live";
      const text = JSON.stringify([stream.title, stream.state, stream.status, stream.viewers.current, stream.progress, stream.error, stream.urls.poster, live || stream.duration_s, stream.renditions.map((r) => r.height)]);
      const old = known.get(stream.id);
      const element = old && old.text === text ? old.element : card(stream);
      known.set(stream.id, { text, element });
      return element;
    });
    for (const id of [...known.keys()]) if (!items.some((stream) => stream.id === id)) known.delete(id);
    const same = list.children.length === cards.length && cards.every((c, i) => list.children[i] === c);
    if (!same) list.replaceChildren(...cards);
    if (focused) list.querySelector(`[data-id="${focused}"] a`)?.focus();
    document.getElementById("empty").hidden = items.length > 0;
    const viewers = items.reduce((sum, stream) => sum + stream.viewers.current, 0);
    note.textContent = `${total} ${total === 1 ? "stream" : "streams"}, ${viewers} watching`;
  });
  events.addEventListener("error", () => { note.textContent = "connection lost, trying again"; });
})();
