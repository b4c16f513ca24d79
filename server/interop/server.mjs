// A server of this project with streams to play, and what starting programs takes.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

export const root = join(import.meta.dirname, "../..");
export const target = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug");

/// The program's path, or an empty text.
export function has(program) {
  return String(spawnSync("sh", ["-c", `command -v ${program}`]).stdout).trim();
}

export function version(program, ...flags) {
  const text = String(spawnSync(program, flags).stdout);
  return /\d+\.\d+(\.\d+)*/.exec(text)?.[0] ?? "?";
}

/// The version of a player that came from npm.
export function library(name) {
  return JSON.parse(readFileSync(join(import.meta.dirname, "node_modules", name, "package.json"))).version;
}

export function chromium() {
  const found = ["chromium", "chromium-browser", "google-chrome"].map(has).find(Boolean);
  if (!found) throw new Error("Chromium is needed: apt-get install chromium");
  return found;
}

/// Starts a program that says `listening on http://...` first, and tells where it listens.
export async function listening(program, flags) {
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = await Promise.race([
    createInterface(child.stdout)[Symbol.asyncIterator]().next().then(({ value }) => [value]),
    new Promise((_, reject) => child.on("exit", (code) => reject(new Error(`${program} ended with ${code}`)))),
  ]);
  return {
    url: line.replace("listening on ", ""),
    async stop() {
      // It writes until it is gone.
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill();
      await gone;
    },
  };
}

/// A server of its own, or the one that `WEIR_INTEROP_URL` names.
export async function startServer() {
  if (process.env.WEIR_INTEROP_URL) return { url: process.env.WEIR_INTEROP_URL.replace(/\/$/, ""), stop: async () => {} };
  const data = mkdtempSync(join(tmpdir(), "weir-interop-"));
  const server = await listening(join(target, "weir-server"),
    ["--listen", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--data", data, "--jobs", "2"]);
  return {
    url: server.url,
    async stop() {
      await server.stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export async function create(url, body) {
  const answer = await fetch(`${url}/api/stream/create`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`creating ${body.id}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

export async function playable(url, id, wanted) {
  for (let wait = 0; wait < 3000; wait += 1) {
    const stream = await (await fetch(`${url}/api/stream/${id}`)).json();
    if (wanted(stream)) return;
    if (stream.state === "failed") throw new Error(`${id} failed: ${stream.error}`);
    await sleep(200);
  }
  throw new Error(`${id} did not become playable`);
}
