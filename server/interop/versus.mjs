// Plays one film over the same bad links in the players that people use, in real time, and prints what a viewer saw.
//
// make versus ARGS="[--live] [--seconds 120] [--height 720] [--player NAME]... [--json FILE] [TRACE...]"
//   TRACE: a network trace, FILE or FILE#NAME; the project's own without any.
//   --live: a live stream with parts of 0.5 s (LL-HLS, LL-DASH) instead of a film, and how far behind it was watched.
//   --json FILE: each session's figures, one object a line.
//
// Each session goes through a `weir proxy` of its own, so its link begins with its first request. All players are measured
// from outside by the same rule: where the position is and how many lines the picture has, ten times a second.

import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { withBrowser } from "./browser.mjs";
import { chromium, create, has, library, listening, playable, root, startServer, target, version } from "./server.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    live: { type: "boolean", default: false },
    seconds: { type: "string", default: "120" },
    height: { type: "string", default: "720" },
    player: { type: "string", multiple: true, default: [] },
    json: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const height = Number(values.height);
if (!(seconds >= 10 && seconds <= 3600)) throw new Error(`--seconds ${values.seconds}: 10 to 3600`);
const traces = positionals.length ? positionals : ["step", "sawtooth", "outages", "walk"].map((name) => join(root, `assets/traces/${name}.jsonl`));

const { live } = values;
const SEGMENT_S = live ? 2 : 4;
/// A position that stands for less is the rhythm of reading it.
const SHORTEST_STALL_MS = 250;

const players = [
  { name: "weir", form: "HLS", play: weir },
  { name: "weir", form: "DASH", play: weir },
  { name: "hls.js", form: "HLS", play: inBrowser },
  { name: "Shaka", form: "HLS", play: inBrowser },
  { name: "Shaka", form: "DASH", play: inBrowser },
  { name: "dash.js", form: "DASH", play: inBrowser },
  // Live it does not change its quality either, and does not tell how far behind it is.
  { name: "mpv", form: "HLS", play: mpv, program: "mpv" },
].filter(({ name, program }) => (values.player.length === 0 || values.player.includes(name)) && (!program || has(program)));

/// Reads a program's lines until its time is over; `read` makes a sample of a line, or nothing.
async function follow(program, flags, env, read) {
  const begun = Date.now();
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  const samples = [];
  for (const stream of [child.stdout, child.stderr]) {
    // mpv ends its status lines with a carriage return.
    createInterface({ input: stream, crlfDelay: 0 }).on("line", (line) => {
      const sample = read(line, Date.now() - begun);
      if (sample) samples.push(sample);
    });
  }
  await Promise.race([gone, sleep(seconds * 1000)]);
  child.kill("SIGTERM");
  await gone;
  return samples;
}

/// Our player without a window, with nothing remembered of earlier sessions.
async function weir(address) {
  const home = mkdtempSync(join(tmpdir(), "weir-versus-"));
  const env = { XDG_CONFIG_HOME: home, XDG_DATA_HOME: home, XDG_STATE_HOME: home };
  try {
    let behind = null;
    return await follow(join(target, "weir"), ["play", address, "--headless", "--events", "-"], env, (line) => {
      const at = line.startsWith("{") ? JSON.parse(line) : {};
      // The log's clock begins with the address, as the page's does.
      if (at.event === "latency") behind = at.latency_s;
      if (at.event === "ended") return [at.t_ms, at.pos_s, 0, true];
      return at.event === "position" ? [at.t_ms, at.pos_s, at.height, false, behind] : null;
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function mpv(address) {
  const flags = ["--no-config", "--vo=null", "--ao=null", "--msg-level=all=no,statusline=status",
    "--term-status-msg=at ${=time-pos} ${height} ${eof-reached}\n", address];
  return follow("mpv", flags, {}, (line, ms) => {
    const found = /at (-?[\d.]+) (\d+) (\w*)/.exec(line);
    return found ? [ms, Number(found[1]), Number(found[2]), found[3] === "yes"] : null;
  });
}

async function inBrowser(address, { name }, open) {
  const page = await open();
  await page.evaluate((...given) => { window.begin(...given); }, name, address, live);
  await sleep(seconds * 1000);
  const [samples, report] = [await page.evaluate(() => window.samples()), await page.evaluate(() => window.report())];
  await page.close();
  if (report.errors.length) console.error(`  ${name}: ${report.errors.join("; ")}`);
  return samples;
}

/// What a viewer saw, from samples [ms, position in s, lines, ended, seconds behind or null]; `kbps` is the bitrate by lines.
function figures(samples, kbps) {
  const top = Math.log(Math.max(...kbps.values()) / Math.min(...kbps.values()));
  const first = samples.findIndex(([, , lines]) => lines > 0);
  if (first < 0) return { startup_s: null, stalls: 0, stalled_s: 0, played_s: 0, kbps: 0, switches: 0, qoe_s: null, latency_s: null };
  let [stalls, stalled, played, weighted, utility, switches, standing] = [0, 0, 0, 0, 0, 0, 0];
  const settle = () => {
    if (standing >= SHORTEST_STALL_MS) [stalls, stalled] = [stalls + 1, stalled + standing];
    standing = 0;
  };
  let lines = samples[first][2];
  for (let at = first + 1; at < samples.length && !samples[at - 1][3]; at += 1) {
    const [ms, moved] = [samples[at][0] - samples[at - 1][0], samples[at][1] - samples[at - 1][1]];
    if (moved * 1000 < ms * 0.1) {
      standing += samples[at][3] ? 0 : ms;
      continue;
    }
    settle();
    const shown = samples[at][2] || lines;
    if (shown !== lines) [switches, lines] = [switches + 1, shown];
    const rate = kbps.get(lines) ?? 0;
    [played, weighted] = [played + moved, weighted + moved * rate];
    utility += moved * Math.log(Math.max(rate, 1) / Math.min(...kbps.values()));
  }
  settle();
  const stalled_s = stalled / 1000;
  const behind = samples.slice(first).map((sample) => sample[4]).filter((value) => Number.isFinite(value) && value > 0);
  const latency_s = behind.length ? behind.reduce((sum, value) => sum + value, 0) / behind.length : null;
  const qoe_s = played > 0 ? utility / played / top - (10 * stalled_s) / (stalled_s + played) - switches / (played / SEGMENT_S) : null;
  return { startup_s: samples[first][0] / 1000, stalls, stalled_s, played_s: played, kbps: played > 0 ? weighted / played : 0, switches, qoe_s, latency_s };
}

/// Bytes that came through the link for media.
function received(log) {
  return readFileSync(log, "utf8").split("\n").filter(Boolean).reduce((sum, line) => sum + (JSON.parse(line).bytes ?? 0), 0);
}

/// Lines and bitrate of each rung, by what the stream's own playlist says.
async function ladder(url) {
  const text = await (await fetch(url)).text();
  return new Map([...text.matchAll(/AVERAGE-BANDWIDTH=(\d+).*RESOLUTION=\d+x(\d+)/g)].map(([, rate, lines]) => [Number(lines), Number(rate) / 1000]));
}

const number = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
const row = (cells) => `| ${cells.join(" | ")} |`;
const columns = (one) => [number(one.startup_s, 2), `${one.stalls}`, number(one.stalled_s, 1), number(one.kbps, 0), `${one.switches}`, number(one.megabytes, 1), number(one.qoe_s, 3), ...(live ? [number(one.latency_s, 1)] : [])];

const browser = chromium();
const server = await startServer();
const scratch = mkdtempSync(join(tmpdir(), "weir-versus-"));
const sessions = [];
try {
  if (live) {
    await create(server.url, { id: "film", title: "Versus", mode: "live", latency: "low", source: { type: "testcard", height } });
    await playable(server.url, "film", (stream) => stream.playable);
    // A window to choose from.
    await sleep(20_000);
  } else {
    await create(server.url, { id: "film", title: "Versus", source: { type: "testcard", height, duration_s: seconds + 30 }, profile: { segment_ms: SEGMENT_S * 1000 } });
    await playable(server.url, "film", (stream) => stream.state === "ready");
  }
  const kbps = await ladder(`${server.url}/stream/film/hls/master.m3u8`);
  console.error(`rungs: ${[...kbps].map(([lines, rate]) => `${lines}p ${rate.toFixed(0)} kbit/s`).join(", ")}`);
  await withBrowser(browser, async (open) => {
    for (const trace of traces) {
      for (const player of players) {
        const log = join(scratch, "log.jsonl");
        rmSync(log, { force: true });
        const proxy = await listening(join(target, "weir"),
          ["proxy", "--upstream", server.url, "--listen", "127.0.0.1:0", "--trace", trace, "--log", log]);
        let samples;
        try {
          const path = player.form === "HLS" ? "hls/master.m3u8" : "dash/manifest.mpd";
          samples = await player.play(`${proxy.url}/stream/film/${path}`, player, open);
        } finally {
          await proxy.stop();
        }
        const session = { trace: trace.split(/[/#]/).at(-1).replace(/\.\w+$/, ""), player: `${player.name} ${player.form}`, ...figures(samples, kbps), megabytes: received(log) / 1e6 };
        sessions.push(session);
        if (values.json) appendFileSync(values.json, `${JSON.stringify(session)}\n`);
        console.error(row([session.trace, session.player, ...columns(session)]));
      }
    }
  });
} finally {
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
}

const head = ["start-up s", "stalls", "stalled s", "kbit/s", "switches", "MB", "QoE_S", ...(live ? ["latency s"] : [])];
const mean = (all, key) => (all.some((one) => one[key] === null) ? null : all.reduce((sum, one) => sum + one[key], 0) / all.length);
console.log(row(["link", "player", ...head]));
console.log(row(["link", "player", ...head].map(() => "---")));
for (const one of sessions) console.log(row([one.trace, one.player, ...columns(one)]));
for (const name of new Set(sessions.map((one) => one.player))) {
  const all = sessions.filter((one) => one.player === name);
  const means = Object.fromEntries(["startup_s", "stalls", "stalled_s", "kbps", "switches", "megabytes", "qoe_s", "latency_s"].map((key) => [key, mean(all, key)]));
  console.log(row(["**mean**", name, ...columns({ ...means, stalls: number(means.stalls, 1), switches: number(means.switches, 1) })]));
}
console.log(`\nChromium ${version(browser, "--version")}, hls.js ${library("hls.js")}, dash.js ${library("dashjs")}, Shaka ${library("shaka-player")}, ` +
  `mpv ${version("mpv", "--version")}; ${seconds} s each, every player with its own defaults.`);
