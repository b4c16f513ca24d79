#!/usr/bin/env node
// How far encoded rungs are behind the source's own pictures, and how far a pulled stream is behind its source.
//
//   node server/benches/latency.mjs [PROGRAM]      PROGRAM: target/release/weir-server where it is not said
//
// Needs nothing but the program. Takes about a minute and a half.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = process.argv[2] ?? "target/release/weir-server";
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A server on a port of its own, with what it was asked for. */
async function server(...options) {
  const folder = mkdtempSync(join(tmpdir(), "weir-latency-"));
  const child = spawn(program, ["--data", join(folder, "data"), "--listen", "127.0.0.1:0", "--rtmp", "off", "--allow-private-sources", ...options]);
  child.stderr.resume();
  const url = await new Promise((done, fail) => {
    child.on("error", fail);
    child.stdout.on("data", (text) => done(String(text).trim().replace("listening on ", "")));
  });
  const stop = () => { child.kill("SIGKILL"); rmSync(folder, { recursive: true, force: true }); };
  return { url, stop };
}

async function create(url, body) {
  const answer = await fetch(`${url}/api/stream/create`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
}

/** Notes when each part of a rendition is first listed, by held reloads. */
async function watch(url, rendition, ms) {
  const seen = new Map();
  let next = "";
  for (const end = Date.now() + ms; Date.now() < end;) {
    const answer = await fetch(`${url}/stream/card/hls/${rendition}/index.m3u8${next}`);
    const text = await answer.text();
    const now = performance.now();
    if (answer.status !== 200) { await pause(200); continue; }
    let number = Number(/MEDIA-SEQUENCE:(\d+)/.exec(text)[1]);
    let part = 0;
    for (const line of text.split("\n")) {
      if (line.startsWith("#EXT-X-PART:")) {
        const name = `${number}.${part++}`;
        if (!seen.has(name)) seen.set(name, now);
      } else if (line && !line.startsWith("#")) { number += 1; part = 0; }
    }
    next = `?_HLS_msn=${number}&_HLS_part=${part}`;
  }
  return seen;
}

/** The media of an MP4 segment. */
function media(bytes) {
  const pieces = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const size = bytes.readUInt32BE(at);
    if (bytes.toString("latin1", at + 4, at + 8) === "mdat") pieces.push(bytes.subarray(at + 8, at + size));
    at += Math.max(size, 8);
  }
  return Buffer.concat(pieces).toString("base64").slice(0, 4000);
}

/** Each listed segment's media, and its date in milliseconds. */
async function segments(url, stream) {
  const text = await (await fetch(`${url}/stream/${stream}/hls/source/index.m3u8`)).text();
  const found = new Map();
  let date = 0;
  for (const line of text.split("\n")) {
    if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) date = Date.parse(line.slice(25));
    else if (line && !line.startsWith("#")) {
      const answer = await fetch(`${url}/stream/${stream}/hls/source/${line}`);
      found.set(media(Buffer.from(await answer.arrayBuffer())), date);
    }
  }
  return found;
}

const card = { id: "card", mode: "live", source: { type: "testcard", height: 360, frame_rate: 25 } };
for (const where of ["process", "server"]) {
  const { url, stop } = await server("--encode-in", where);
  await create(url, card);
  await pause(12_000);
  const [source, rung] = await Promise.all([watch(url, "source", 20_000), watch(url, "240p", 20_000)]);
  const behind = [...rung].filter(([part]) => source.has(part)).map(([part, at]) => at - source.get(part)).slice(10).sort((a, b) => a - b);
  const at = (share) => behind[Math.floor(behind.length * share)].toFixed(0);
  console.log(`--encode-in ${where}: parts of 240p come ${at(0.5)} ms after those of the source (median of ${behind.length}; 95th percentile ${at(0.95)} ms)`);
  if (where === "process") {
    await create(url, { id: "copy", mode: "live", source: { type: "url", url: `${url}/stream/card/hls/master.m3u8` } });
    await pause(14_000);
    const [theirs, ours] = [await segments(url, "card"), await segments(url, "copy")];
    const delays = [...ours].filter(([bytes]) => theirs.has(bytes)).map(([bytes, date]) => (date - theirs.get(bytes)) / 1000);
    if (delays.length === 0) throw new Error("no segment of the copy is one of its source");
    console.log(`a pulled low-latency stream is ${delays[0].toFixed(2)} s behind its source (${delays.length} segments compared)`);
  }
  stop();
}
