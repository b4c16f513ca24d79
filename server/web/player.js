// The two engines behind the watch page's player, with one face: hls.js for HLS, dash.js (loaded when chosen) for DASH.
"use strict";
const engines = (() => {
  // Each answers: levels(), level(), choose(id or -1), estimate(), buffer(), latency(), live(), toLive(), stop(), captions(), caption(i), captioned().
  const ahead = (video) => {
    for (let i = 0; i < video.buffered.length; i++) {
      if (video.buffered.start(i) <= video.currentTime + 0.1 && video.buffered.end(i) > video.currentTime) return video.buffered.end(i) - video.currentTime;
    }
    return 0;
  };
  // Subtitles as the browser's own tracks. dash.js loses those of a language that is chosen while it seeks, and shows none
  // while the film stands still.
  const texts = (video, root) => {
    const list = JSON.parse(root.dataset.subtitles || "[]");
    const tracks = list.map((text) => {
      const element = ui.make("track", { kind: "subtitles", src: text.url, srclang: text.lang, label: text.label || text.lang });
      video.append(element);
      return element;
    });
    let chosen = list.findIndex((text) => text.default);
    // Browsers choose one by themselves as well, some time after the tracks are there.
    const apply = () => tracks.forEach(({ track }, i) => {
      const mode = i === chosen ? "showing" : "disabled";
      if (track.mode !== mode) track.mode = mode;
    });
    apply();
    video.textTracks.addEventListener("change", apply);
    return {
      captions: () => list.map((text) => text.label || text.lang),
      caption: (index) => { chosen = index; apply(); },
      captioned: () => chosen,
      remove: () => {
        video.textTracks.removeEventListener("change", apply);
        tracks.forEach((element) => element.remove());
      },
    };
  };
  const label = (height, bits) => `${height}p  ${ui.rate(bits)}`;

  const hls = (video, root, tell) => {
    const { id, hls: source, sid, live } = root.dataset;
    const player = new Hls({
      // In headers, so that addresses stay the same for all viewers and caches in front need no rule for them.
      cmcd: { sessionId: sid, contentId: id, useHeaders: true },
      startPosition: live === "1" ? -1 : 0, // A file that is still being packaged starts at its beginning, not at its edge.
      lowLatencyMode: true,
      abrEwmaDefaultEstimate: 2500000, // What most lines carry: a film that begins in its lowest quality looks broken.
      capLevelToPlayerSize: true,
      maxBufferLength: 30,
      maxMaxBufferLength: 30, // Both: a page that is killed is then no longer counted half a minute later.
      backBufferLength: 60,
    });
    let retry = 0, started = false, timer;
    player.on(Hls.Events.MANIFEST_PARSED, () => { tell.ready(); });
    player.on(Hls.Events.LEVEL_SWITCHED, () => tell.level());
    player.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, () => tell.ready());
    player.on(Hls.Events.SUBTITLE_TRACK_SWITCH, () => tell.level());
    player.on(Hls.Events.FRAG_BUFFERED, () => { retry = 0; started = true; tell.say(""); });
    player.on(Hls.Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      const status = data.response?.code;
      if (status === 403) { tell.say("The operator of this server ended your session. Reload the page to ask again."); player.destroy(); return; }
      if (data.type === Hls.ErrorTypes.MEDIA_ERROR) { player.recoverMediaError(); return; }
      if (status === 404 && data.details === Hls.ErrorDetails.MANIFEST_LOAD_ERROR) tell.say(live === "1" ? "Not on air yet; waiting for the stream ..." : "This stream is not there or could not be packaged.");
      else tell.say(status === 503 ? (live === "1" ? "Not on air yet; waiting for the stream ..." : "The first segment is being made ...") : "The server does not answer; trying again ...");
      timer = setTimeout(() => { if (started) player.startLoad(); else player.loadSource(source); }, Math.min(1000 * 2 ** retry++, 10000));
    });
    player.loadSource(source);
    player.attachMedia(video);
    const details = () => player.latestLevelDetails ?? player.levels[player.loadLevel]?.details;
    return {
      name: "hls",
      levels: () => player.levels.map((level, index) => ({ id: String(index), height: level.height, text: label(level.height, level.bitrate), bits: level.averageBitrate || level.bitrate })),
      level: () => String(player.currentLevel >= 0 ? player.currentLevel : player.loadLevel),
      choose: (which) => { player.nextLevel = Number(which); },
      captions: () => player.subtitleTracks.map((track) => track.name || track.lang || "Subtitles"),
      caption: (index) => { player.subtitleDisplay = index >= 0; player.subtitleTrack = index; },
      captioned: () => player.subtitleDisplay ? player.subtitleTrack : -1,
      // What it begins with is a guess.
      estimate: () => started ? player.bandwidthEstimate : NaN,
      buffer: () => ahead(video),
      live: () => details()?.live ?? live === "1",
      lowLatency: () => Boolean(details()?.partList && details()?.canBlockReload),
      latency: () => player.latency || null,
      target: () => player.targetLatency ?? 3,
      toLive: () => { if (player.liveSyncPosition) video.currentTime = player.liveSyncPosition; },
      stop: () => { clearTimeout(timer); player.destroy(); },
    };
  };

  let script;
  const dash = async (video, root, tell) => {
    const { id, dashjs: url, sid, live } = root.dataset;
    const source = new URL(root.dataset.dash, location.href).href;
    script ??= new Promise((done, failed) => {
      const element = document.createElement("script");
      Object.assign(element, { src: url, onload: done, onerror: () => failed(new Error("dash.js could not be loaded")) });
      document.head.append(element);
    });
    await script;
    const player = dashjs.MediaPlayer().create();
    player.updateSettings({
      streaming: {
        cmcd: { enabled: true, version: 1, sid, cid: id, mode: "header", includeInRequests: ["segment"] },
        abr: { limitBitrateByPortal: true },
        buffer: { bufferTimeAtTopQuality: 30, bufferTimeAtTopQualityLongForm: 30 },
      },
    });
    player.registerCustomCapabilitiesFilter((representation) => !representation.mimeType?.startsWith("text/"));
    const subtitles = texts(video, root);
    const events = dashjs.MediaPlayer.events;
    player.on(events.STREAM_INITIALIZED, () => { tell.say(""); tell.ready(); });
    player.on(events.QUALITY_CHANGE_RENDERED, () => tell.level());
    let timer, retry = 0;
    player.on(events.ERROR, ({ error }) => {
      if (error?.data?.response?.status === 403) { tell.say("The operator of this server ended your session. Reload the page to ask again."); player.reset(); return; }
      tell.say(live === "1" ? "Not on air yet; waiting for the stream ..." : "The server does not answer; trying again ...");
      clearTimeout(timer);
      timer = setTimeout(() => player.attachSource(source, live === "1" ? NaN : 0), Math.min(1000 * 2 ** retry++, 10000));
    });
    player.initialize(video, source, true, live === "1" ? NaN : 0);
    const list = () => { try { return player.getRepresentationsByType("video") ?? []; } catch { return []; } };
    const current = () => { try { return player.getCurrentRepresentationForType("video"); } catch { return null; } };
    const isLive = () => { try { return player.isDynamic(); } catch { return live === "1"; } };
    return {
      name: "dash",
      levels: () => list().map((r) => ({ id: r.id, height: r.height, text: label(r.height, r.bandwidth), bits: r.bandwidth })),
      level: () => current()?.id ?? "-1",
      choose: (which) => {
        player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: which === "-1" } } } });
        if (which !== "-1") player.setRepresentationForTypeById("video", which, true);
      },
      captions: subtitles.captions,
      caption: subtitles.caption,
      captioned: subtitles.captioned,
      estimate: () => player.getAverageThroughput("video") * 1000,
      buffer: () => ahead(video),
      live: isLive,
      lowLatency: () => isLive(),
      latency: () => isLive() ? player.getCurrentLiveLatency() || null : null,
      target: () => player.getTargetLiveDelay?.() || 3,
      toLive: () => player.seekToOriginalLive(),
      stop: () => { clearTimeout(timer); subtitles.remove(); player.reset(); },
    };
  };

  // Safari on phones plays HLS itself, everything else at least the progressive stream.
  const native = (video, root) => {
    video.src = video.canPlayType("application/vnd.apple.mpegurl") ? root.dataset.hls : root.dataset.page;
    const none = () => null;
    return { name: "native", levels: () => [], level: () => "-1", choose: none, captions: () => [], caption: none, captioned: () => -1, estimate: () => NaN, buffer: () => ahead(video), live: () => video.duration === Infinity, lowLatency: () => false, latency: none, target: () => 6, toLive: () => { video.currentTime = video.seekable.end(video.seekable.length - 1); }, stop: () => { video.removeAttribute("src"); video.load(); } };
  };
  return { hls, dash, native, usable: () => Boolean(window.Hls && Hls.isSupported()) };
})();
