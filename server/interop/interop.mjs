// Plays a server's streams, VOD and live, in the players that people use, and prints a table.
//
// WEIR_INTEROP_URL: a server that runs already; otherwise one is started from target/debug.
// --write: puts the table into docs/interop.md.
// --private: the streams are private; browsers get ?token=, which is redirected, programs the token in the path.

import { execFile, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { browserRuns } from "./browser.mjs";
import { everySegment } from "./segments.mjs";
import { chromium, create, has, library, playable, root, startServer, target, version } from "./server.mjs";

const SECONDS = 8;
const closed = process.argv.includes("--private");

/// A token of a stream that was created private.
async function token(url, id) {
  if (!closed) return "";
  const answer = await fetch(`${url}/api/stream/${id}/tokens`, { method: "POST" });
  if (!answer.ok) throw new Error(`a token for ${id}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()).token;
}

const make = (url, body) => create(url, closed ? { ...body, auth: { view: "private" } } : body);

/// A publisher as OBS is one: H.264 and AAC by RTMP, a key frame every two seconds.
function publish(address) {
  return spawn("ffmpeg", ["-hide_banner", "-nostdin", "-loglevel", "error", "-re",
    "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
    "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "800k", "-g", "50", "-pix_fmt", "yuv420p",
    "-c:a", "aac", "-b:a", "96k", "-f", "flv", address], { stdio: ["ignore", "ignore", "inherit"] });
}

function run(program, flags, seconds) {
  return new Promise((resolve) => {
    execFile(program, flags, { timeout: seconds * 1000, maxBuffer: 1 << 24, env: { ...process.env, GST_DEBUG: "0" } },
      (error, stdout, stderr) => resolve({ error, text: `${stdout}\n${stderr}` }));
  });
}

/// Each program with how to call it and how to read seconds played out of what it prints.
function programs(url, id, live) {
  const hls = `${url}/stream/${id}/hls/master.m3u8`;
  const dash = `${url}/stream/${id}/dash/manifest.mpd`;
  const plain = `${url}/stream/${id}`;
  const rows = [];
  const last = (pattern) => (text) => {
    const found = [...text.matchAll(pattern)].at(-1);
    if (!found) return 0;
    return found.slice(1).reverse().reduce((sum, part, at) => sum + Number(part) * 60 ** at, 0);
  };
  const ffmpeg = last(/time=(\d+):(\d+):([\d.]+)/g);
  for (const [form, from] of [["HLS", hls], ["DASH", dash], ["MP4", plain]]) {
    rows.push({ player: "ffmpeg", form, program: "ffmpeg",
      flags: ["-hide_banner", "-nostdin", "-re", "-t", `${SECONDS}`, "-i", from, "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-"], read: ffmpeg });
    rows.push({ player: "mpv", form, program: "mpv",
      flags: ["--no-config", "--vo=null", "--ao=null", `--length=${SECONDS}`, "--term-status-msg=at ${=time-pos}", from],
      read: (text) => spread(text, /at ([\d.]+)/g) });
  }
  rows.push({ player: "GStreamer hlsdemux2", form: "HLS", program: "gst-play-1.0", from: hls, rank: "hlsdemux2:512,hlsdemux:0", endless: true });
  rows.push({ player: "GStreamer dashdemux2", form: "DASH", program: "gst-play-1.0", from: dash, rank: "dashdemux2:512,dashdemux:0", endless: true,
    // GStreamer 1.22 shows nothing of DASH before 30 s are buffered, which live come no faster than they happen.
    patience: live ? 30 : 0 });
  for (const [form, from] of [["HLS", hls], ["DASH", dash]]) {
    rows.push({ player: "weir", form, program: join(target, "weir"),
      flags: ["play", from, "--headless", "--events", "-", "--duration", `${SECONDS}`], read: weirSeconds });
  }
  return rows.map((row) => ({ ...row, live }));
}

/// Difference of the largest and the smallest number that a pattern finds.
function spread(text, pattern) {
  const all = [...text.matchAll(pattern)].map((found) => Number(found[1]));
  return all.length ? Math.max(...all) - Math.min(...all) : 0;
}

function weirSeconds(text) {
  return spread(text, /"event":"position","pos_s":([\d.]+)/g);
}

/// gst-play-1.0 with the newer demuxers ranked first; it prints its position.
async function gstreamer(row) {
  const saved = process.env.GST_PLUGIN_FEATURE_RANK;
  process.env.GST_PLUGIN_FEATURE_RANK = row.rank;
  const begun = Date.now();
  const flags = ["--no-interactive", "--videosink=fakevideosink", "--audiosink=fakeaudiosink", "--use-playbin3", row.from];
  const { text } = await run("gst-play-1.0", flags, SECONDS + 6 + (row.patience ?? 0));
  if (saved === undefined) delete process.env.GST_PLUGIN_FEATURE_RANK;
  else process.env.GST_PLUGIN_FEATURE_RANK = saved;
  const seconds = spread(text.replace(/(\d+):(\d+):([\d.]+) \//g, (_, h, m, s) => `at ${h * 3600 + m * 60 + Number(s)} /`), /at ([\d.]+) \//g);
  const failed = /ERROR|Error:/.exec(text);
  return { seconds, elapsed: (Date.now() - begun) / 1000, failed: failed && text.split("\n").find((line) => line.includes(failed[0])) };
}

async function commandRuns(rows, report) {
  for (const row of rows) {
    if (!has(row.program)) {
      report({ ...row, ok: null, detail: "not installed" });
      continue;
    }
    if (row.endless) {
      const { seconds, failed } = await gstreamer(row);
      report({ ...row, ok: !failed && seconds >= SECONDS * 0.6, detail: failed?.trim() ?? `${seconds.toFixed(1)} s played` });
      continue;
    }
    const { error, text } = await run(row.program, row.flags, SECONDS * 4 + 20);
    const seconds = row.read(text);
    const why = error ? text.trim().split("\n").at(-1)?.slice(0, 120) : "";
    report({ ...row, ok: !error && seconds >= SECONDS * 0.8, detail: [`${seconds.toFixed(1)} s played`, why].filter(Boolean).join(", ") });
  }
}

function table(results) {
  const lines = ["| player | stream | | |", "|---|---|---|---|"];
  for (const { player, form, live, ok, detail } of results) {
    const verdict = ok === null ? "-" : ok ? "plays" : "FAILS";
    lines.push(`| ${player} | ${live ? "live" : "VOD"}, ${form} | ${verdict} | ${detail.replaceAll("|", "/")} |`);
  }
  const day = new Date().toISOString().slice(0, 10);
  lines.push("", `${day}: Chromium ${version(browser, "--version")}, hls.js ${library("hls.js")}, dash.js ${library("dashjs")}, ` +
    `Shaka ${library("shaka-player")}, ffmpeg ${version("ffmpeg", "-version")}, mpv ${version("mpv", "--version")}, ` +
    `GStreamer ${version("gst-launch-1.0", "--gst-version")}.`);
  return lines.join("\n");
}

// Before anything is started: without it there is no table.
const browser = chromium();
const server = await startServer();
let publisher = null;
const results = [];
const report = (result) => {
  results.push(result);
  console.error(`${result.ok === null ? "  -  " : result.ok ? "plays" : "FAILS"}  ${result.live ? "live" : "VOD "}  ${result.player} ${result.form}: ${result.detail}`);
};
try {
  const { url } = server;
  await make(url, { id: "vod", title: "Interop", source: { type: "testcard", height: 240, duration_s: 30 } });
  await playable(url, "vod", (stream) => stream.state === "ready");
  const kinds = [["vod", false]];
  const created = await make(url, { id: "live", title: "Interop live", mode: "live", latency: "low" });
  publisher = publish(created.ingest.rtmp_with_key);
  await playable(url, "live", (stream) => stream.playable);
  // A window to choose from: players that start three target durations back need it.
  await sleep(15_000);
  kinds.push(["live", true]);
  const only = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
  const wanted = (row) => only.length === 0 || only.some((name) => row.player.includes(name));
  for (const [id, live] of kinds) {
    const key = await token(url, id);
    const [base, query, place] = [`${url}/stream/${id}`, key && `?token=${key}`, key ? `${id}/~${key}` : id];
    const cases = [["hls.js", "HLS"], ["dash.js", "DASH"], ["Shaka", "HLS"], ["Shaka", "DASH"]].map(([player, form]) => ({
      player, form, live, seconds: SECONDS, url: `${base}/${form === "HLS" ? "hls/master.m3u8" : "dash/manifest.mpd"}${query}`,
    }));
    await browserRuns(cases.filter(wanted), browser, report);
    await commandRuns(programs(url, place, live).filter(wanted), report);
    if (has("ffprobe") && wanted({ player: "ffprobe" })) report(await everySegment(url, place, live));
  }
} finally {
  publisher?.kill("SIGKILL");
  await server.stop();
}
const text = table(results);
console.log(text);
if (process.argv.includes("--write")) {
  const path = join(root, "docs/interop.md");
  const page = readFileSync(path, "utf8");
  writeFileSync(path, page.replace(/<!-- table -->[\s\S]*<!-- end -->/, `<!-- table -->\n${text}\n<!-- end -->`));
}
process.exitCode = results.some((result) => result.ok === false) ? 1 : 0;
