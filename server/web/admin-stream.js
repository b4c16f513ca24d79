// One stream on the admin page: what it is, who watches and how well, what its encoder says, and what can be done.
"use strict";
const adminStream = (detail, id, gone) => {
  const { make } = ui;
  const past = { viewers: [], bitrate: [], buffer: [] };
  const stopped = new AbortController();
  let fresh = null;
  const section = (title, ...children) => make("section", { class: "panel" }, make("h2", {}, title), ...children);
  const head = make("div", { class: "panel" }), actions = make("div", { class: "actions" }), facts = make("dl", { class: "facts" });
  const ingest = section("Publish"), viewing = section("Who may watch"), plots = make("div", { class: "plots" });
  const rows = make("tbody"), empty = make("p", { class: "quiet" }, "Nobody watches now.");
  const table = make("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Viewers" }, make("table", {}, make("thead", {}, make("tr", {}, ...["Network", "Player", "By", "Since", "Bitrate", "Buffer", "Stalls", "Start-up", ""].map((text) => make("th", { scope: "col" }, text || make("span", { class: "hidden" }, "Remove"))))), rows));
  const log = make("pre", { class: "log", tabindex: 0, "aria-label": "Log" });
  ingest.hidden = true;
  detail.replaceChildren(head, ingest, viewing, section("Quality of experience", plots), section("Viewers", empty, table), section("Log of packaging and encoders", log));

  const path = `/api/stream/${id}`;
  const doing = (text, method, more, done, ask) => make("button", { type: "button", class: "plain", onclick: api.act(async () => {
    if (ask && !confirm(ask)) return null;
    const answer = await api.call(method, `${path}${more}`);
    if (answer?.stream_key) fresh = answer;
    await refresh();
    return true;
  }, (result) => result ? done : "Nothing was changed.") }, text);
  const remove = make("button", { type: "button", class: "danger", onclick: api.act(async () => {
    if (!confirm(`Delete the stream "${id}" with all its media?`)) return;
    await api.remove(path);
    gone();
  }) }, "Delete ...");

  const paintActions = (stream) => {
    const live = stream.mode === "live";
    const key = `${live}${stream.state}${stream.live?.enabled}`;
    if (actions.dataset.key === key) return;
    actions.dataset.key = key;
    const publisher = stream.source?.type === "publisher";
    actions.replaceChildren(make("a", { class: "button", href: stream.urls.page }, "Watch"), ...[
      live && !stream.live?.enabled ? doing("Start", "POST", "/start", "Started.") : null,
      live && stream.live?.enabled ? doing("Stop", "POST", "/stop", "Stopped; publishers are refused until it is started.", stream.state === "live" ? "End the stream for all its viewers?" : null) : null,
      live && publisher && stream.state === "live" ? doing("Kick publisher", "POST", "/kick", "The publisher was disconnected; it may come back.") : null,
      live && publisher ? doing("New stream key", "POST", "/rotate-key", "The old key is no longer good.", "Make a new stream key? The old one is refused from then on.") : null,
      stream.state === "failed" && !live ? doing("Try again", "POST", "/retry", "It goes on where it failed.") : null,
      remove,
    ].filter(Boolean));
  };

  const paintIngest = (stream) => {
    const server = fresh?.ingest?.rtmp ?? stream.ingest?.rtmp, key = fresh?.stream_key;
    const shown = `${server}${key}`;
    ingest.hidden = stream.source?.type !== "publisher";
    if (ingest.hidden || ingest.dataset.shown === shown) return;
    ingest.dataset.shown = shown;
    const command = server && key ? `ffmpeg -re -i film.mp4 -c:v libx264 -tune zerolatency -g 60 -c:a aac -f flv ${server}/${key}` : null;
    ingest.replaceChildren(make("h2", {}, "Publish"), ...[
      server ? api.copyable("OBS: Settings, Stream, Custom: server", server) : make("p", { class: "quiet" }, "RTMP is switched off on this server; start it with --rtmp."),
      key ? api.copyable("Stream key, shown this once", key, true) : make("p", { class: "quiet" }, "The stream key was shown when it was made. If it is lost, make a new one."),
      command ? api.copyable("ffmpeg", command) : null,
    ].filter(Boolean));
  };

  // Links are made when they are asked for: each is good for as long as was chosen then.
  let link = null;
  const paintViewing = (stream) => {
    const { view, users } = stream.auth, shown = `${view}${users}${link}`;
    if (viewing.dataset.shown === shown) return;
    viewing.dataset.shown = shown;
    const change = (auth, done) => api.act(async () => { await api.call("PATCH", path, { auth }); link = null; await refresh(); }, done);
    const title = make("h2", {}, "Who may watch");
    if (view === "public") {
      viewing.replaceChildren(title, make("p", { class: "quiet" }, "Everybody who knows the address, and everybody who sees the list."),
        make("button", { type: "button", class: "plain", onclick: change({ view: "private" }, "Only those with a link or a password may watch now.") }, "Make it private"));
      return;
    }
    const days = make("select", { "aria-label": "How long the link is good" }, ...[[3600, "an hour"], [86400, "a day"], [604800, "a week"], [31536000, "a year"]].map(([value, text]) => make("option", { value }, text)));
    days.value = "86400";
    const makeLink = api.act(async () => { const made = await api.post(`${path}/tokens`, { expires_s: Number(days.value) }); link = new URL(made.urls.page, location.href).href; await refresh(); });
    const revoke = api.act(async () => { if (!confirm("Take back every link that was made? Who watches by one is cut off.")) return null; await api.remove(`${path}/tokens`); link = null; await refresh(); return true; }, (done) => done ? "No link that was made so far opens it." : "Nothing was changed.");
    const name = make("input", { maxlength: 128, autocomplete: "off", required: true, pattern: "[^:]+" }), password = make("input", { type: "password", minlength: 8, maxlength: 128, autocomplete: "new-password", required: true });
    const add = async (event) => {
      event.preventDefault();
      const others = users.filter((user) => user !== name.value).map((user) => ({ name: user }));
      try { await api.call("PATCH", path, { auth: { users: [...others, { name: name.value, password: password.value }] } }); await refresh(); } catch (error) { api.notice(error.message, true); }
    };
    const field = (text, input) => make("label", { class: "field" }, text, input);
    viewing.replaceChildren(title, make("p", { class: "quiet" }, "Those with a link, and those with a name and password. It is not on the list of others."),
      make("div", { class: "actions" }, days, make("button", { type: "button", onclick: makeLink }, "Make a link"), make("button", { type: "button", class: "plain", onclick: revoke }, "Take all links back"), make("button", { type: "button", class: "plain", onclick: change(null, "Everybody may watch now.") }, "Make it public")),
      ...[link ? api.copyable("Link to watch; players take it with /hls/master.m3u8 added", link, true) : null].filter(Boolean),
      make("ul", {}, ...users.map((user) => make("li", {}, user, " ", make("button", { type: "button", class: "plain small", "aria-label": `Remove ${user}`, onclick: change({ users: users.filter((other) => other !== user).map((other) => ({ name: other })) }, `${user} may not watch any more.`) }, "Remove")))),
      make("form", { onsubmit: add }, make("div", { class: "pair" }, field("Name", name), field("Password", password)), make("button", { class: "plain" }, "Let in")));
  };

  const paintHead = (stream) => {
    const rungs = stream.renditions.map((r) => r.name).join(", ") || "none yet";
    const live = stream.live?.session ?? null;
    const facts_ = [["Id", stream.id], ["Source", stream.source.url ?? stream.source.path ?? stream.source.type], ["Renditions", rungs],
      ["Viewers", `${stream.viewers.current} now, ${stream.viewers.peak} at most, ${stream.viewers.total} in all`], ["Watched", ui.length(stream.viewers.watch_seconds)],
      ["Told apart by guess", `${Math.round(stream.viewers.estimated_share * 100)} %`]];
    if (stream.live) facts_.push(["Window", stream.live.dvr_s ? `${ui.length(stream.live.dvr_s)}` : "everything"], ["Recording", stream.live.record ? "kept" : "not kept"], ["Latency", stream.live.latency]);
    if (live?.publisher) facts_.push(["Publisher", [live.publisher.address, live.publisher.agent].filter(Boolean).join(", ") || live.publisher.app]);
    if (live?.bitrate) facts_.push(["Arriving", ui.rate(live.bitrate)]);
    const state = stream.state === "packaging" ? `packaging, ${Math.round(stream.progress * 100)} %` : stream.status;
    if (live?.discontinuities) facts_.push(["Discontinuities", live.discontinuities]);
    const pull = stream.live?.pull;
    if (pull) {
      const words = { connecting: "asking the source", playing: "playing", waiting: `waiting${pull.retry_ms ? `, asks again in ${Math.max(1, Math.round(pull.retry_ms / 1000))} s` : ""}`, ended: "the source is over", stopped: "stopped" };
      facts_.push(["Pull", words[pull.state] ?? pull.state], ["Pulled", `${pull.segments} segments${pull.lost ? `, ${pull.lost} lost` : ""}`]);
    }
    facts.replaceChildren(...facts_.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
    const said = [...new Set([stream.error, pull?.error, live?.recording_failure, ...(stream.warnings ?? []), ...(live?.warnings ?? [])].filter(Boolean))];
    head.replaceChildren(make("div", { class: "title" }, make("h2", {}, stream.title), make("span", { class: `state ${stream.state}` }, state)), actions, facts, ...said.map((text) => make("p", { class: "why" }, text)));
  };

  const paintPlots = (stream) => {
    const { qoe } = stream, now = performance.now() / 1000;
    const put = (name, value) => { if (value !== null && value !== undefined) past[name].push([now, value]); if (past[name].length > 300) past[name].shift(); };
    put("viewers", stream.viewers.current);
    put("buffer", qoe.buffer_ms.median);
    put("bitrate", qoe.mean_bitrate_kbps);
    const kbps = (value) => ui.rate(value * 1000);
    plots.replaceChildren(
      ui.line("Viewers", past.viewers, (n) => String(n)), ui.line("Buffer, median", past.buffer, ui.seconds), ui.line("Mean bitrate", past.bitrate, kbps),
      ui.spread("Start-up", qoe.startup_ms, ui.seconds), ui.spread("Bitrate", qoe.bitrate_kbps, kbps), ui.spread("Behind live", qoe.latency_ms, ui.seconds),
      make("p", { class: "quiet" }, qoe.sessions ? `${ui.counted(qoe.sessions, "session")} told about their playback: ${Math.round(qoe.stalls.sessions_share * 1000) / 10} % of them stalled, ${ui.counted(qoe.stalls.count, "stall")} of ${qoe.stalls.seconds.toFixed(1)} s together; ${ui.counted(qoe.dropped_frames, "frame")} dropped.` : "No player has told about its playback yet (CMCD)."));
  };

  const agent = (text) => (text.match(/(Firefox|Edg|OPR|Chrome|Safari|AppleCoreMedia|VLC|mpv|Lavf|GStreamer|ExoPlayer|weir)[^\s;)]*/i) ?? [text])[0] || "unnamed";
  const paintViewers = (list) => {
    empty.hidden = list.items.length > 0;
    table.hidden = !list.items.length;
    const focused = document.activeElement?.dataset?.sid;
    rows.replaceChildren(...list.items.slice(0, 200).map((s) => make("tr", {},
      make("td", {}, s.address), make("td", { title: s.agent }, agent(s.agent)), make("td", { title: `told apart: ${s.method}` }, s.protocol.toUpperCase()), make("td", {}, ui.length(s.age_s)),
      make("td", {}, s.bitrate_kbps ? ui.rate(s.bitrate_kbps * 1000) : "-"), make("td", {}, ui.seconds(s.buffer_ms)), make("td", { class: s.stalls ? "bad" : null }, s.stalls === null ? "-" : s.stalled_s ? `${s.stalls}, ${s.stalled_s.toFixed(1)} s` : String(s.stalls)), make("td", {}, ui.seconds(s.startup_ms)),
      make("td", {}, make("button", { type: "button", class: "plain small", "data-sid": s.sid, "aria-label": `Remove this viewer from ${s.address}`, onclick: api.act(async () => { await api.remove(`/api/session/${s.sid}`); await refresh(); }, "The viewer was removed; its requests are refused for ten minutes.") }, "Kick")))));
    if (focused) rows.querySelector(`[data-sid="${focused}"]`)?.focus();
  };

  const paintLog = (answer) => {
    const text = answer.items.map((line) => `${line.at.slice(11, 19)}  ${line.level.padEnd(5)}  ${line.text}`).join("\n") || "Nothing was said since the server started.";
    if (log.textContent === text) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    log.textContent = text;
    if (atEnd) log.scrollTop = log.scrollHeight;
  };

  const refresh = async () => {
    if (stopped.signal.aborted) return;
    try {
      const [stream, viewers, lines] = await Promise.all([api.get(path), api.get(`${path}/viewers`), api.get(`${path}/log`)]);
      if (stopped.signal.aborted) return;
      paintActions(stream);
      paintHead(stream);
      paintIngest(stream);
      paintViewing(stream);
      paintPlots(stream);
      paintViewers(viewers);
      paintLog(lines);
    } catch (error) {
      if (error.status === 404) { stopped.abort(); gone(); } else if (error.status !== 401) api.notice(error.message, true);
    }
  };
  refresh();
  const timer = setInterval(() => { if (!document.hidden) refresh(); }, 2000);
  return { made: (answer) => { fresh = answer; refresh(); }, stop: () => { stopped.abort(); clearInterval(timer); } };
};
