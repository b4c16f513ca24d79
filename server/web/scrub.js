// The seek bar with its thumbnails.
"use strict";
const scrub = (root, video, range) => {
  const seek = ui.byId("seek"), preview = ui.byId("preview"), tile = preview.querySelector(".tile"), label = preview.querySelector(".at");
  let cues = [], address = "";
  const clock = (text) => text.trim().split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  // A WebVTT index: times, then a picture with the rectangle of its tile.
  const parse = (text, base) => text.split(/\r?\n\r?\n/).flatMap((block) => {
    const lines = block.split(/\r?\n/), at = lines.findIndex((line) => line.includes("-->"));
    if (at < 0 || !lines[at + 1]) return [];
    const [from, to] = lines[at].split("-->");
    const [name, box] = lines[at + 1].trim().split("#xywh=");
    const url = new URL(name, base);
    if (url.origin !== location.origin) return [];
    const [x, y, w, h] = (box ?? "").split(",").map(Number);
    return [{ from: clock(from), to: clock(to.trim().split(/\s/)[0]), url: url.href, x, y, w, h }];
  });
  const load = async (path) => {
    if (!path) return;
    address = new URL(path, location.href).href;
    try {
      const answer = await fetch(address);
      if (answer.ok) cues = parse(await answer.text(), address);
    } catch { /* Without thumbnails the bar still seeks. */ }
  };
  const hover = (event) => {
    const [from, to] = range();
    if (!(to > from)) return;
    const box = seek.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const time = from + part * (to - from);
    label.textContent = root.dataset.moving === "1" ? `-${ui.length(to - time)}` : ui.length(time);
    const cue = cues.find((cue) => time >= cue.from && time < cue.to);
    tile.hidden = !cue;
    if (cue) {
      const w = cue.w || 160, h = cue.h || 90;
      Object.assign(tile.style, { width: `${w}px`, height: `${h}px`, backgroundImage: `url("${cue.url}")`, backgroundPosition: `-${cue.x || 0}px -${cue.y || 0}px` });
    }
    preview.hidden = false;
    const half = preview.offsetWidth / 2;
    preview.style.left = `${Math.min(Math.max(part * box.width, half), box.width - half)}px`;
  };
  seek.addEventListener("pointermove", hover);
  seek.addEventListener("pointerleave", () => { preview.hidden = true; });
  let dragging = false;
  seek.addEventListener("input", () => {
    dragging = true;
    const [from, to] = range();
    video.currentTime = from + Number(seek.value) / 1000 * (to - from);
  });
  seek.addEventListener("change", () => { dragging = false; });
  const update = () => {
    const [from, to] = range();
    if (dragging || !(to > from)) return;
    const part = Math.min(Math.max((video.currentTime - from) / (to - from), 0), 1);
    seek.value = String(Math.round(part * 1000));
    seek.style.setProperty("--done", `${part * 100}%`);
    const behind = to - video.currentTime;
    seek.setAttribute("aria-valuetext", root.dataset.moving === "1" ? `${ui.length(behind)} behind` : `${ui.length(video.currentTime)} of ${ui.length(to)}`);
  };
  return { load, update };
};
