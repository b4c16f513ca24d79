// Every segment of a stream by itself, as ffprobe sees it: with its init segment it has to decode without a complaint.

import { spawn } from "node:child_process";

/// Addresses that a playlist names, resolved.
async function lines(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return { text: (await answer.text()).split("\n"), resolve: (name) => new URL(name, address).href };
}

async function renditions(master) {
  const { text, resolve } = await lines(master);
  const media = text.filter((line) => line.startsWith("#EXT-X-MEDIA:TYPE=AUDIO")).map((line) => /URI="([^"]*)"/.exec(line)?.[1]);
  return [...media.filter(Boolean), ...text.filter((line) => line && !line.startsWith("#"))].map(resolve);
}

/// Segments of a media playlist with the init segment that each of them needs.
async function segments(playlist) {
  const { text, resolve } = await lines(playlist);
  const found = [];
  let init = null;
  for (const line of text) {
    if (line.startsWith("#EXT-X-MAP:")) init = resolve(/URI="([^"]*)"/.exec(line)[1]);
    else if (line && !line.startsWith("#")) found.push({ init, segment: resolve(line) });
  }
  return found;
}

const bytes = async (address) => Buffer.from(await (await fetch(address)).arrayBuffer());

/// What is wrong with a segment; empty when nothing is.
function probe(media) {
  return new Promise((resolve) => {
    const child = spawn("ffprobe", ["-v", "error", "-count_frames", "-show_entries", "stream=codec_type,nb_read_frames", "-of", "csv=p=0", "-"]);
    let out = "";
    let complaints = "";
    child.stdout.on("data", (text) => { out += text; });
    child.stderr.on("data", (text) => { complaints += text; });
    child.on("close", () => {
      const frames = Number(/,(\d+)/.exec(out)?.[1] ?? 0);
      resolve(complaints.trim().split("\n")[0] || (frames > 0 ? "" : "no frame could be decoded"));
    });
    child.stdin.on("error", () => {});
    child.stdin.end(media);
  });
}

/// Probes every segment that the stream's HLS lists now, as a row of the table.
export async function everySegment(url, id, live) {
  const row = { player: "ffprobe", form: "each segment", live };
  const wrong = [];
  let count = 0;
  const playlists = await renditions(`${url}/stream/${id}/hls/master.m3u8`);
  for (const playlist of playlists) {
    for (const { init, segment } of await segments(playlist)) {
      const complaint = await probe(Buffer.concat([init ? await bytes(init) : Buffer.alloc(0), await bytes(segment)]));
      count += 1;
      if (complaint) wrong.push(`${new URL(segment).pathname}: ${complaint}`);
    }
  }
  for (const line of wrong) console.error(`       ${line}`);
  const detail = `${count - wrong.length} of ${count} of ${playlists.length} renditions`;
  return { ...row, ok: count > 0 && wrong.length === 0, detail: [detail, wrong[0]].filter(Boolean).join(", ") };
}
