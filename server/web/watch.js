// The watch page: the player's controls, the choice of engine and quality, and what there is to see about playback.
"use strict";
(() => {
  const root = ui.byId("watch"), video = ui.byId("video"), message = ui.byId("message"), frame = ui.byId("player");
  const quality = ui.byId("quality"), captions = ui.byId("captions"), tech = ui.byId("tech");
  let engine = null, dropped = 0, duration = Infinity;
  const say = (text) => { message.hidden = !text; frame.classList.toggle("told", Boolean(text)); if (text) message.querySelector("p").textContent = text; };
  const told = report(root, video);

  // The part of the timeline that can be played: all of a file, the window of a live stream.
  const range = () => {
    const n = video.seekable.length;
    // dash.js takes a file that is still being packaged for as long as its packaging lasts.
    const most = root.dataset.live === "1" ? Infinity : duration;
    if (n && Number.isFinite(video.seekable.end(n - 1))) return [video.seekable.start(0), Math.min(video.seekable.end(n - 1), most)];
    return Number.isFinite(video.duration) ? [0, video.duration] : [0, 0];
  };
  const bar = scrub(root, video, range);

  const fill = () => {
    if (!engine) return;
    const levels = engine.levels().sort((a, b) => b.bits - a.bits);
    const chosen = quality.value;
    quality.replaceChildren(new Option("Auto", "-1"), ...levels.map((level) => new Option(level.text, level.id)));
    quality.value = levels.some((level) => level.id === chosen) ? chosen : "-1";
    quality.disabled = !levels.length;
    const texts = engine.captions();
    captions.replaceChildren(new Option("No subtitles", "-1"), ...texts.map((text, index) => new Option(text, String(index))));
    captions.hidden = !texts.length;
    named();
  };
  const named = () => {
    const now = engine?.levels().find((level) => level.id === engine.level());
    if (quality.options[0]) quality.options[0].textContent = now ? `Auto (${now.height}p)` : "Auto";
    if (engine) captions.value = String(engine.captioned());
  };
  const play = () => video.play().catch((error) => { if (error.name === "NotAllowedError") told.hold(); });
  const tell = { say, level: named, ready: () => { say(""); fill(); play(); } };

  const start = async (which) => {
    engine?.stop();
    engine = null;
    told.use(null);
    try {
      engine = which === "dash" ? await engines.dash(video, root, tell) : engines.usable() ? engines.hls(video, root, tell) : engines.native(video, root);
    } catch (error) { say(`${error.message}. HLS is still there.`); return; }
    told.use(engine);
    tech.value = engine.name === "dash" ? "dash" : "hls";
    quality.hidden = engine.name === "native";
  };
  tech.addEventListener("change", () => start(tech.value));
  quality.addEventListener("change", () => { engine?.choose(quality.value); named(); });
  captions.addEventListener("change", () => engine?.caption(Number(captions.value)));

  // Controls of our own take the place of the browser's, which a page without scripts keeps.
  video.controls = false;
  ui.byId("controls").hidden = false;
  const toggle = () => { if (video.paused) play(); else video.pause(); };
  const nudge = (by) => { const [from, to] = range(); video.currentTime = Math.min(Math.max(video.currentTime + by, from), Math.max(to - 0.1, from)); };
  const full = () => { if (document.fullscreenElement) document.exitFullscreen(); else frame.requestFullscreen?.().catch(() => {}); };
  const mute = () => { video.muted = !video.muted; if (!video.muted && video.volume === 0) video.volume = 0.5; };
  const toLive = () => { engine?.toLive(); play(); };
  const press = (name, action) => ui.byId(name).addEventListener("click", action);
  press("play", toggle);
  press("mute", mute);
  press("golive", toLive);
  press("full", full);
  press("pip", () => (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => {}));
  ui.byId("pip").hidden = !document.pictureInPictureEnabled;
  // A finger first wants to see the controls; a mouse sees them before it presses.
  video.addEventListener("click", (event) => { if (event.pointerType === "touch") wake(); else toggle(); });
  video.addEventListener("dblclick", full);
  const volume = ui.byId("volume");
  volume.addEventListener("input", () => { video.volume = Number(volume.value); video.muted = video.volume === 0; });
  const label = (name, text, on) => { const e = ui.byId(name); e.setAttribute("aria-label", text); e.title = text; e.classList.toggle("on", on); };
  const paint = () => {
    label("play", video.paused ? "Play (k)" : "Pause (k)", !video.paused);
    label("mute", video.muted ? "Unmute (m)" : "Mute (m)", !video.muted);
    volume.value = video.muted ? "0" : String(video.volume);
  };
  for (const event of ["play", "pause", "volumechange", "ended"]) video.addEventListener(event, paint);
  paint();
  const keys = { k: toggle, " ": toggle, m: mute, f: full, j: () => nudge(-10), l: () => nudge(10), ArrowLeft: () => nudge(-5), ArrowRight: () => nudge(5), Home: () => nudge(-1e9), End: toLive };
  document.addEventListener("keydown", (event) => {
    const own = event.target.closest("input, select, textarea, button, a, summary");
    if (event.ctrlKey || event.metaKey || event.altKey || (own && own.id !== "seek") || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  // The controls leave while nobody moves and the picture runs.
  let idle;
  const wake = () => {
    frame.classList.remove("idle");
    clearTimeout(idle);
    idle = setTimeout(() => { if (!video.paused) frame.classList.add("idle"); }, 3000);
  };
  for (const event of ["pointermove", "focusin", "keydown", "touchstart"]) frame.addEventListener(event, wake, { passive: true });
  video.addEventListener("pause", wake);
  for (const [event, waits] of [["waiting", true], ["seeking", true], ["loadstart", true], ["playing", false], ["seeked", false], ["error", false], ["canplay", false]]) video.addEventListener(event, () => frame.classList.toggle("waits", waits));
  wake();

  // What the server knows: viewers, state, thumbnails.
  let thumbnails = "", streamState = "", awaited = "";
  const took = (stream) => {
    const { current, peak, total } = stream.viewers;
    ui.show("viewers", `${current} watching`);
    ui.byId("viewers").classList.toggle("some", current > 0);
    ui.show("peak", String(peak));
    ui.show("total", String(total));
    ui.show("watched", ui.length(stream.viewers.watch_seconds));
    const qoe = stream.qoe;
    ui.show("q-startup", qoe.startup_ms.count ? ui.seconds(qoe.startup_ms.median) : "-");
    ui.show("q-stalled", qoe.sessions ? `${Math.round(qoe.stalls.sessions_share * 100)} %` : "-");
    ui.show("q-bitrate", qoe.mean_bitrate_kbps ? ui.rate(qoe.mean_bitrate_kbps * 1000) : "-");
    ui.show("state", stream.state === "packaging" ? `packaging, ${Math.round(stream.progress * 100)} %` : stream.status);
    ui.byId("state").className = `state ${stream.state}`;
    ui.show("why", stream.error ?? "");
    const away = stream.live?.session?.state === "grace" && frame.classList.contains("waits");
    const off = stream.state === "idle" || (stream.state === "ended" && !stream.playable);
    const words = away ? "The publisher is away; waiting for it to come back ..." : off ? `${stream.status.charAt(0).toUpperCase()}${stream.status.slice(1)}.` : "";
    if (words !== awaited) { awaited = words; say(words); }
    if (stream.state === "failed" && !stream.playable) say(`Packaging failed: ${stream.error}`);
    // Over: what there is can be watched like any file.
    if (!["live", "idle"].includes(stream.state)) root.dataset.live = "0";
    if (streamState && streamState !== "live" && stream.state === "live") { root.dataset.live = "1"; start(tech.value); }
    streamState = stream.state;
    duration = stream.duration_s ?? Infinity;
    const path = stream.urls.thumbnails ?? "";
    if (path && (path !== thumbnails || stream.state === "live")) { thumbnails = path; bar.load(path); }
  };
  const refresh = async () => {
    try {
      const answer = await fetch(root.dataset.api, { cache: "no-store" });
      if (answer.status === 401) { say("This stream is private, and the link is no longer good."); return; }
      if (answer.status === 404) { say("This stream was deleted."); return; }
      took(await answer.json());
    } catch { /* The next round tries again; the player reports what matters. */ }
  };
  refresh();
  setInterval(refresh, 3000);

  const bandwidth = [];
  setInterval(() => {
    // A file that is still being packaged grows, but has no edge that anybody wants to be at.
    const moving = root.dataset.live === "1" && (engine?.live() ?? false);
    root.dataset.moving = moving ? "1" : "0";
    bar.update();
    const [from, to] = range();
    ui.show("time", moving ? (to - video.currentTime > 1 && to > from ? `-${ui.length(to - video.currentTime)}` : "0:00") : `${ui.length(video.currentTime)} / ${ui.length(to)}`);
    const latency = moving ? engine.latency() : null;
    for (const name of ["l-latency", "s-latency"]) ui.byId(name).hidden = !moving;
    const golive = ui.byId("golive");
    golive.hidden = !moving || to <= from;
    const atEdge = latency !== null && latency < Math.max(engine.target() * 2, engine.target() + 4);
    golive.classList.toggle("on", atEdge);
    golive.setAttribute("aria-label", atEdge ? "At the live edge" : "Go to the live edge");
    const level = engine?.levels().find((level) => level.id === engine.level());
    dropped = video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
    ui.show("s-quality", video.videoWidth ? `${video.videoWidth} x ${video.videoHeight}` : "-");
    ui.show("s-bitrate", level ? ui.rate(level.bits) : "-");
    ui.show("s-estimate", ui.rate(engine?.estimate() ?? NaN));
    ui.show("s-buffer", `${(engine?.buffer() ?? 0).toFixed(1)} s`);
    ui.show("s-latency", latency ? `${latency.toFixed(1)} s${engine.lowLatency() ? ", low latency" : ""}` : "-");
    ui.show("s-startup", told.figures.startup === null ? "-" : ui.seconds(told.figures.startup));
    ui.show("s-stalls", told.figures.stalls ? `${told.figures.stalls}, ${(told.stalled() / 1000).toFixed(1)} s` : "0");
    ui.show("s-dropped", String(dropped));
  }, 500);
  setInterval(() => {
    const estimate = engine?.estimate();
    if (!Number.isFinite(estimate)) return;
    bandwidth.push([bandwidth.length ? bandwidth.at(-1)[0] + 1 : 0, estimate]);
    if (bandwidth.length > 90) bandwidth.shift();
    ui.byId("throughput").replaceChildren(ui.line("Throughput", bandwidth, ui.rate));
  }, 1000);

  start(new URLSearchParams(location.search).get("tech") === "dash" ? "dash" : "hls");
})();
