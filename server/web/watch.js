// The watch page: plays the stream with hls.js, offers the qualities, shows what happens.
"use strict";
(() => {
  const root = document.getElementById("watch");
  const video = document.getElementById("video");
  const message = document.getElementById("message");
  const quality = document.getElementById("quality");
  const { id, hls: source, sid } = root.dataset;
  const show = (name, value) => { const e = document.getElementById(name); if (e && e.textContent !== value) e.textContent = value; };
  const say = (text) => { message.hidden = !text; if (text) message.querySelector("p").textContent = text; };
  const kbps = (bits) => bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mb/s` : `${Math.round(bits / 1e3)} kb/s`;

  // What the server knows: viewers, progress.
  const refresh = async () => {
    try {
      const answer = await fetch(`/api/stream/${id}`, { cache: "no-store" });
      if (answer.status === 404) { say("This stream was deleted."); return; }
      const stream = await answer.json();
      const { current, peak, total } = stream.viewers;
      show("viewers", current === 1 ? "1 watching" : `${current} watching`);
      show("peak", String(peak));
      show("total", String(total));
      show("state", stream.state === "packaging" ? `packaging, ${Math.round(stream.progress * 100)} %` : stream.state);
      if (stream.error) show("why", stream.error);
      if (stream.state === "failed" && !stream.playable) say(`Packaging failed: ${stream.error}`);
    } catch { /* The next round tries again; the player reports what matters. */ }
  };
  refresh();
  setInterval(refresh, 3000);

  const remove = document.getElementById("delete");
  remove.hidden = false;
  remove.addEventListener("click", async () => {
    if (!confirm(`Delete the stream "${id}" with all its media?`)) return;
    const headers = {};
    let answer = await fetch(`/api/stream/${id}`, { method: "DELETE" });
    if (answer.status === 401) {
      const token = prompt("The server's token:");
      if (!token) return;
      headers.Authorization = `Bearer ${token}`;
      answer = await fetch(`/api/stream/${id}`, { method: "DELETE", headers });
    }
    if (answer.ok) location.href = "/";
    else say((await answer.json()).detail);
  });

  if (!window.Hls || !Hls.isSupported()) {
    // Safari on phones plays HLS itself, everything else at least the progressive stream.
    video.src = video.canPlayType("application/vnd.apple.mpegurl") ? source : root.dataset.page;
    quality.hidden = true;
    return;
  }

  const hls = new Hls({
    cmcd: { sessionId: sid, contentId: id, useHeaders: false },
    startPosition: 0, // A stream that is still being packaged starts at its beginning, not at its edge.
    capLevelToPlayerSize: true,
    maxBufferLength: 30, // Both: a page that fetches every few seconds is counted as a viewer all the time.
    maxMaxBufferLength: 30,
    backBufferLength: 60,
  });
  let stalls = 0, started = false, dropped = 0;
  const bandwidth = [];

  const label = (level) => level ? `${level.height}p` : "";
  const names = () => {
    const shown = hls.levels[hls.currentLevel >= 0 ? hls.currentLevel : hls.loadLevel];
    quality.options[0].textContent = shown ? `Auto (${label(shown)})` : "Auto";
  };
  hls.on(Hls.Events.MANIFEST_PARSED, (_, data) => {
    say("");
    const options = data.levels.map((level, index) => new Option(`${label(level)}  ${kbps(level.bitrate)}`, String(index))).reverse();
    quality.replaceChildren(new Option("Auto", "-1"), ...options);
    video.play().catch(() => { /* The browser wants a click first: the controls are there. */ });
  });
  hls.on(Hls.Events.LEVEL_SWITCHED, names);
  hls.on(Hls.Events.FRAG_LOADED, (_, data) => {
    if (data.frag.type !== "main" || !data.frag.stats.loading.end) return;
    bandwidth.push(hls.bandwidthEstimate);
    if (bandwidth.length > 60) bandwidth.shift();
    const top = Math.max(...bandwidth, 1), step = 100 / Math.max(bandwidth.length - 1, 1);
    const path = bandwidth.map((b, i) => `${i ? "L" : "M"}${(i * step).toFixed(1)} ${(29 - 27 * b / top).toFixed(1)}`).join("");
    document.getElementById("line").setAttribute("d", path);
  });
  quality.addEventListener("change", () => { hls.nextLevel = Number(quality.value); names(); });

  let retry = 0;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const status = data.response?.code;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) { hls.recoverMediaError(); return; }
    if (status === 404 && data.details === Hls.ErrorDetails.MANIFEST_LOAD_ERROR) { say("This stream is not there or could not be packaged."); return; }
    say(status === 503 ? "The first segment is being made ..." : "The server does not answer; trying again ...");
    setTimeout(() => { started ? hls.startLoad() : hls.loadSource(source); }, Math.min(1000 * 2 ** retry++, 10000));
  });
  hls.on(Hls.Events.FRAG_BUFFERED, () => { retry = 0; say(""); });
  video.addEventListener("playing", () => { started = true; });
  video.addEventListener("waiting", () => { if (started && !video.seeking) stalls += 1; });
  hls.loadSource(source);
  hls.attachMedia(video);

  setInterval(() => {
    const level = hls.levels[hls.currentLevel];
    let ahead = 0;
    for (let i = 0; i < video.buffered.length; i++) {
      if (video.buffered.start(i) <= video.currentTime + 0.1 && video.buffered.end(i) > video.currentTime) ahead = video.buffered.end(i) - video.currentTime;
    }
    dropped = video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
    show("s-quality", level ? `${video.videoWidth} x ${video.videoHeight}` : "-");
    show("s-bitrate", level ? kbps(level.averageBitrate || level.bitrate) : "-");
    show("s-estimate", Number.isFinite(hls.bandwidthEstimate) ? kbps(hls.bandwidthEstimate) : "-");
    show("s-buffer", `${ahead.toFixed(1)} s`);
    show("s-stalls", String(stalls));
    show("s-dropped", String(dropped));
  }, 500);
})();
