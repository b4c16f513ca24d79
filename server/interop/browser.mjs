// Players in headless Chromium: hls.js, dash.js and Shaka, each on a page of another origin than the server's.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join, normalize } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import puppeteer from "puppeteer-core";

const here = import.meta.dirname;
const types = { ".html": "text/html", ".js": "text/javascript" };

async function pages() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const file = path.startsWith("/lib/") ? join(here, "node_modules", path.slice(5)) : join(here, "page.html");
    try {
      const bytes = await readFile(file);
      response.setHeader("Content-Type", types[file.slice(file.lastIndexOf("."))] ?? "application/octet-stream");
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/// Headless Chromium with the players' page, for as long as `work` takes; `work` gets a function that opens the page.
export async function withBrowser(executablePath, work) {
  const server = await pages();
  const browser = await puppeteer.launch({
    executablePath,
    args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu", "--mute-audio"],
  });
  try {
    return await work(async () => {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      return page;
    });
  } finally {
    await browser.close();
    server.close();
  }
}

/// Plays each of `cases` ({player, url, live, seconds}) for its time and reports {case, ok, detail}.
export function browserRuns(cases, executablePath, report) {
  return withBrowser(executablePath, async (open) => {
    for (const one of cases) {
      const page = await open();
      const begun = Date.now();
      await page.evaluate((...given) => { window.begin(...given); }, one.player, one.url, one.live);
      // It plays, or it does not within half a minute.
      let first = null;
      while (Date.now() - begun < 30_000) {
        first = await page.evaluate(() => window.report());
        if (first.errors.length || (first.time > 0 && first.frames > 0)) break;
        await sleep(100);
      }
      const startup = (Date.now() - begun) / 1000;
      const from = first.time;
      const watched = Date.now();
      await sleep(one.seconds * 1000);
      const end = await page.evaluate(() => window.report());
      const elapsed = (Date.now() - watched) / 1000;
      await page.close();
      const moved = end.time - from;
      const ok = end.errors.length === 0 && end.width > 0 && end.frames > 0 && (end.ended || moved > elapsed * 0.8);
      const detail = [
        `${end.width}x${end.height}`,
        `${moved.toFixed(1)} s in ${elapsed.toFixed(1)} s`,
        `start ${startup.toFixed(1)} s`,
        `${end.stalls} stalls`,
        one.live && end.latency < 3600 ? `latency ${end.latency.toFixed(1)} s` : "",
        one.live && one.player === "hls.js" ? `${end.parts} parts` : "",
        end.errors.join("; "),
      ].filter(Boolean).join(", ");
      report({ ...one, ok, detail });
    }
  });
}
