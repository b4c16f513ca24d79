// What the watch page tells the server about its session: CMCD events (CTA-5004-B), posted so that they also leave with the page.
"use strict";
const report = (root, video) => {
  const { id, sid } = root.dataset;
  const figures = { startup: null, stalls: 0, stalledMs: 0, state: "s" };
  let asked = performance.now(), held = false, stallSince = null, started = false, number = 0, engine = null;
  const send = (event, state = figures.state) => {
    figures.state = state;
    const round = (value, to) => Math.round(value / to) * to;
    const keys = { bl: `(${round((engine?.buffer() ?? 0) * 1000, 100)})`, bsa: `(${figures.stalls})`, bsda: `(${Math.round(stalled())})`, cid: JSON.stringify(id), dfa: video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0, e: event };
    const level = engine?.levels().find((level) => level.id === engine.level());
    if (level) keys.br = `(${Math.round(level.bits / 1000)})`;
    const latency = root.dataset.moving === "1" ? engine?.latency() : null;
    if (latency > 0) keys.ltc = Math.round(latency * 1000);
    if (figures.startup !== null) keys.msd = figures.startup;
    const estimate = engine?.estimate();
    if (Number.isFinite(estimate) && estimate > 0) keys.mtp = `(${round(estimate / 1000, 100)})`;
    Object.assign(keys, { sf: engine?.name === "dash" ? "d" : "h", sid: JSON.stringify(sid), sn: number++, sta: state, ts: Date.now(), v: 2 });
    const text = Object.entries(keys).map(([key, value]) => `${key}=${value}`).join(",");
    navigator.sendBeacon?.("/api/beacon", new Blob([`${text}\n`], { type: "text/plain" }));
  };
  const stalled = () => figures.stalledMs + (stallSince === null ? 0 : performance.now() - stallSince);
  const resume = () => { if (stallSince !== null) { figures.stalledMs += performance.now() - stallSince; stallSince = null; } };
  video.addEventListener("play", () => { if (started) send("ps", "p"); else if (held) { asked = performance.now(); held = false; } });
  video.addEventListener("playing", () => {
    if (!started) { started = true; figures.startup = Math.round(performance.now() - asked); }
    resume();
    send("ps", "p");
  });
  video.addEventListener("waiting", () => {
    if (!started || video.seeking || video.ended || stallSince !== null) return;
    stallSince = performance.now();
    figures.stalls += 1;
    send("ps", "r");
  });
  video.addEventListener("seeking", () => { if (started) { resume(); send("ps", "k"); } });
  video.addEventListener("seeked", () => { if (started) send("ps", video.paused ? "a" : "p"); });
  video.addEventListener("pause", () => { if (started && !video.ended) { resume(); send("ps", "a"); } });
  video.addEventListener("ended", () => send("ps", "e"));
  // The beat keeps a viewer counted whose media comes from a cache in front of the server.
  setInterval(() => { if (started && !video.ended) send("t"); }, 10000);
  document.addEventListener("visibilitychange", () => { if (started && !video.ended) send(document.hidden ? "b" : "t"); });
  addEventListener("pagehide", () => { if (started) send("ps", "q"); });
  return {
    figures, stalled,
    use: (which) => { engine = which; },
    // The browser wants a click before anything plays: start-up is measured from there.
    hold: () => { held = true; },
  };
};
