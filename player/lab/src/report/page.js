"use strict";
const NS = "http://www.w3.org/2000/svg";
const LIGHT = ["#0b6bcb", "#d9730d", "#1a8f5a", "#b5319b", "#7a5af8", "#b58900", "#c0392b", "#17929e",
  "#6b7785", "#8a5a2b", "#4f7d1f", "#d1477a"];
const DARK = ["#6cb2ff", "#ff9f4a", "#4fcf94", "#ee7fd6", "#ab98ff", "#e6bf3a", "#ff8a7d", "#4fd0dc",
  "#a9b5c2", "#cf9e6c", "#9acb62", "#ff8ab3"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const $ = (id) => document.getElementById(id);
const names = [...new Set(DATA.groups.map((g) => g.algorithm))];
const colour = (name) => (dark.matches ? DARK : LIGHT)[names.indexOf(name) % LIGHT.length];
const key = (g) => g.set + ", buffer " + g.buffer_s + " s";
const keys = [...new Set(DATA.groups.map(key))];
const at = (k) => DATA.columns.findIndex((c) => c.key === k);
const ALL = "all sets";
let sortBy = 0, sortUp = false;

/* Each algorithm's means over the sets, each set counting as one: figures of a group, like those of a set. */
function overall() {
  return names.map((algorithm) => {
    const own = DATA.groups.filter((g) => g.algorithm === algorithm);
    const shares = own.map((g) => g.of_best).filter((v) => v !== null);
    const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
    const figures = DATA.columns.map((c, i) => {
      const values = own.map((g) => g.figures[i].mean).sort((a, b) => a - b);
      const place = (q) => values[Math.round((values.length - 1) * q)];
      const m = mean(values), half = values.length < 2 ? 0
        : 1.96 * Math.sqrt(mean(values.map((v) => (v - m) ** 2)) / (values.length - 1));
      // No mean of what cannot be below nothing is below it.
      const least = c.up || values[0] < 0 ? -Infinity : 0;
      return { mean: m, low: Math.max(least, m - half), high: m + half, p5: place(0.05), p50: place(0.5), p95: place(0.95), values };
    });
    return { algorithm, of_best: shares.length ? mean(shares) : null, figures };
  });
}
const groupsNow = () => $("set").value === ALL ? overall() : DATA.groups.filter((g) => key(g) === $("set").value);

function node(tag, attributes, parent, text) {
  const n = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v);
  if (text !== undefined) n.textContent = text;
  if (parent) parent.append(n);
  return n;
}
function option(select, value, text) {
  const o = document.createElement("option");
  o.value = value; o.textContent = text; select.append(o);
}
function tip(n, text) {
  n.addEventListener("pointerenter", () => { $("tip").textContent = text; $("tip").hidden = false; });
  n.addEventListener("pointermove", (e) => {
    const t = $("tip"), x = Math.min(e.clientX + 14, innerWidth - t.offsetWidth - 8);
    t.style.left = x + "px"; t.style.top = Math.min(e.clientY + 14, innerHeight - t.offsetHeight - 8) + "px";
  });
  n.addEventListener("pointerleave", () => { $("tip").hidden = true; });
  n.setAttribute("aria-label", text);
}
function ticks(low, high, count) {
  const span = high - low || 1, raw = span / count, size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * size).find((s) => s >= raw);
  const out = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) out.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return out;
}
const number = (v) => Math.abs(v) >= 10000 ? (v / 1000).toFixed(0) + "k" : +v.toPrecision(4) + "";

/* As wide as there is room, so that letters keep their size on a small screen. */
const room = (box, most) => Math.max(280, Math.min(most, box.clientWidth || most));

/* A plot with axes: gives scales and the group to draw in. */
function plot(parent, w, h, xs, ys, xName, yName) {
  const m = { l: w < 500 ? 44 : 58, r: 14, t: 24, b: xName ? 36 : 24 };
  const svg = node("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": yName + (xName ? " against " + xName : "") }, parent);
  const pad = (lo, hi) => hi > lo ? [lo, hi] : [lo - 0.5, hi + 0.5];
  const [x0, x1] = pad(...xs), [y0, y1] = pad(...ys);
  const x = (v) => m.l + (v - x0) / (x1 - x0) * (w - m.l - m.r);
  const y = (v) => h - m.b - (v - y0) / (y1 - y0) * (h - m.t - m.b);
  for (const t of ticks(x0, x1, w < 500 ? 4 : w > 900 ? 12 : 6)) {
    node("line", { x1: x(t), x2: x(t), y1: m.t, y2: h - m.b, class: "grid" }, svg);
    node("text", { x: x(t), y: h - m.b + 14, "text-anchor": "middle" }, svg, number(t));
  }
  for (const t of ticks(y0, y1, h < 150 ? 3 : 5)) {
    node("line", { x1: m.l, x2: w - m.r, y1: y(t), y2: y(t), class: "grid" }, svg);
    node("text", { x: m.l - 6, y: y(t) + 4, "text-anchor": "end" }, svg, number(t));
  }
  node("text", { x: w - m.r, y: h - 6, "text-anchor": "end" }, svg, xName);
  node("text", { x: 8, y: 15 }, svg, yName);
  return { svg, x, y, x0, x1, y0, y1 };
}

function table(groups) {
  const t = $("table"); t.textContent = "";
  const head = t.createTHead().insertRow();
  const th = (label, unit, help, sort) => {
    const c = document.createElement("th"), b = document.createElement("button");
    b.textContent = label; b.title = help;
    if (sort !== undefined) b.addEventListener("click", () => {
      sortUp = sortBy === sort ? !sortUp : !DATA.columns[sort].up; sortBy = sort; draw();
    });
    const s = document.createElement("small"); s.textContent = unit || "\u00a0";
    c.append(b, s); head.append(c);
  };
  th("algorithm", "", "");
  const hasBest = groups.some((g) => g.of_best !== null);
  if (hasBest) th("of best", "%", "share of the offline optimum's QoE_S");
  DATA.columns.forEach((c, i) => th(c.name, c.unit, c.help, i));
  const body = t.createTBody();
  const online = groups.filter((g) => g.algorithm !== "oracle");
  const bests = DATA.columns.map((c, i) => {
    const v = online.map((g) => g.figures[i].mean);
    return c.key === "bias" ? null : c.up ? Math.max(...v) : Math.min(...v);
  });
  const sorted = [...groups].sort((a, b) => (a.figures[sortBy].mean - b.figures[sortBy].mean) * (sortUp ? 1 : -1));
  for (const g of sorted) {
    const r = body.insertRow(), c = r.insertCell(), s = document.createElement("span");
    s.className = "swatch"; s.style.background = colour(g.algorithm);
    c.append(s, g.algorithm);
    // A share of what is below nothing says nothing.
    if (hasBest) r.insertCell().textContent = g.of_best === null ? "" : g.of_best < 0 ? "\u2013" : (g.of_best * 100).toFixed(1);
    DATA.columns.forEach((col, i) => {
      const f = g.figures[i], cell = r.insertCell(), small = document.createElement("small");
      cell.textContent = f.mean.toFixed(col.digits);
      const short = (v) => v.toFixed(col.digits), of = $("set").value === ALL ? "sets" : "traces";
      const n = f.values.length;
      cell.title = n > 1 ? `median ${short(f.p50)}, 5 % ${short(f.p5)}, 95 % ${short(f.p95)} of ${n} ${of}` : "one trace: no interval";
      if (n > 1) { small.textContent = short(f.low) + " to " + short(f.high); cell.append(small); }
      if (f.mean === bests[i] && g.algorithm !== "oracle") cell.className = "best";
    });
  }
}

function pareto(groups) {
  const box = $("pareto"); box.textContent = "";
  const ix = at("rebuffer"), iy = at("utility");
  const xs = groups.flatMap((g) => [g.figures[ix].low, g.figures[ix].high]);
  const ys = groups.flatMap((g) => [g.figures[iy].low, g.figures[iy].high]);
  const w = room(box, 640), space = (Math.max(...ys) - Math.min(...ys)) * 0.08 || 0.05;
  const p = plot(box, w, Math.max(260, w * 0.62), [0, Math.max(...xs, 0.01) * 1.08], [Math.min(...ys) - space, Math.max(...ys) + space],
    "time stalled, %", "quality: mean utility, ln(rate / lowest rate)");
  const points = groups.map((g) => ({ g, x: g.figures[ix], y: g.figures[iy] }));
  const front = points.filter((a) => !points.some((b) => b !== a && b.x.mean <= a.x.mean && b.y.mean >= a.y.mean
    && (b.x.mean < a.x.mean || b.y.mean > a.y.mean))).sort((a, b) => a.x.mean - b.x.mean);
  node("polyline", { points: front.map((q) => p.x(q.x.mean) + "," + p.y(q.y.mean)).join(" "), fill: "none",
    stroke: "var(--soft)", "stroke-dasharray": "4 3" }, p.svg);
  for (const { g, x, y } of points) {
    const c = colour(g.algorithm);
    node("line", { x1: p.x(x.low), x2: p.x(x.high), y1: p.y(y.mean), y2: p.y(y.mean), stroke: c, opacity: 0.35 }, p.svg);
    node("line", { x1: p.x(x.mean), x2: p.x(x.mean), y1: p.y(y.low), y2: p.y(y.high), stroke: c, opacity: 0.35 }, p.svg);
    const dot = node("circle", { cx: p.x(x.mean), cy: p.y(y.mean), r: 5, fill: c }, p.svg);
    tip(dot, `${g.algorithm}: utility ${y.mean.toFixed(3)}, stalled ${x.mean.toFixed(3)} %, ${g.figures[at("kbps")].mean.toFixed(0)} kbit/s`);
  }
  // Names where none stands yet.
  const taken = points.map(({ x, y }) => [p.x(x.mean) - 5, p.x(x.mean) + 5, p.y(y.mean)]);
  for (const { g, x, y } of [...points].sort((a, b) => b.y.mean - a.y.mean)) {
    const cx = p.x(x.mean), cy = p.y(y.mean), long = g.algorithm.length * 6.4;
    const places = [-6, 4, 14, -16, 24, -26, 34].flatMap((dy) => [[cx + 8, cx + 8 + long, cy + dy], [cx - 8 - long, cx - 8, cy + dy]]);
    const fits = ([a, b, at]) => a > 46 && b < w - 4 && at > 26 && at < p.y(p.y0)
      && taken.every(([c, d, other]) => b < c || a > d || Math.abs(at - other) > 11);
    const [a, b, at] = places.find(fits) || places[0];
    taken.push([a, b, at]);
    node("text", { x: a > cx ? a : b, y: at + 4, class: "name", "text-anchor": a > cx ? "start" : "end" }, p.svg, g.algorithm);
  }
}

function cdf(groups) {
  const box = $("cdf"); box.textContent = "";
  const i = +$("figure").value, c = DATA.columns[i];
  const all = groups.flatMap((g) => g.figures[i].values);
  const w = room(box, 640), of = $("set").value === ALL ? "sets" : "traces";
  const p = plot(box, w, Math.max(260, w * 0.62), [Math.min(...all), Math.max(...all)], [0, 1],
    c.name + (c.unit ? ", " + c.unit : ""), `share of ${of} at or below`);
  for (const g of groups) {
    const v = g.figures[i].values;
    let d = "";
    // From one edge to the other: before the first value and after the last one as well.
    d = `M${p.x(p.x0)} ${p.y(0)}L${p.x(v[0])} ${p.y(0)}`;
    v.forEach((value, n) => { d += `L${p.x(value)} ${p.y(n / v.length)}L${p.x(value)} ${p.y((n + 1) / v.length)}`; });
    d += `L${p.x(p.x1)} ${p.y(1)}`;
    const line = node("path", { d, fill: "none", stroke: colour(g.algorithm), "stroke-width": 2 }, p.svg);
    tip(line, `${g.algorithm}: median ${g.figures[i].p50.toFixed(c.digits)}`);
  }
}

function timeline(parent, t) {
  const box = document.createElement("div"), head = document.createElement("h3"), sums = document.createElement("span");
  const stalled = t.stalls.reduce((sum, [a, b]) => sum + b - a, 0);
  const switches = t.shown.filter((q, n) => n && q[1] !== t.shown[n - 1][1]).length;
  const mark = document.createElement("span");
  mark.className = "swatch"; mark.style.background = colour(t.algorithm);
  sums.textContent = `${t.stalls.length === 1 ? "1 stall" : t.stalls.length + " stalls"}, ${stalled.toFixed(1)} s in all; `
    + `${switches === 1 ? "1 switch" : switches + " switches"}; ${t.aborts.length} given up`;
  head.append(mark, t.algorithm, sums); box.className = "timeline"; box.append(head); parent.append(box);
  const w = room(box, 1280), h = w < 700 ? 220 : 280;
  const high = Math.max(...t.ladder, ...t.decisions.map((d) => d[2] || 0).filter((v) => v < 3 * Math.max(...t.ladder)));
  const top = high * 1.1, cut = (v) => Math.min(v, top);
  const p = plot(box, w, h, [0, t.end_s], [0, top], "", "kbit/s");
  const base = p.y(0);
  const area = t.link.map((v, s) => `L${p.x(s)} ${p.y(cut(v))}L${p.x(Math.min(s + 1, t.end_s))} ${p.y(cut(v))}`).join("");
  const link = node("path", { d: `M${p.x(0)} ${base}${area}L${p.x(t.end_s)} ${base}Z`, fill: "var(--link)" }, p.svg);
  tip(link, "the link (cut off above the ladder)");
  for (const [a, b] of t.stalls) {
    const r = node("rect", { x: p.x(a), width: Math.max(1, p.x(b) - p.x(a)), y: p.y(top), height: base - p.y(top), fill: "var(--stall)", opacity: 0.3 }, p.svg);
    tip(r, `stalled from ${a.toFixed(2)} s for ${(b - a).toFixed(2)} s`);
  }
  let d = "";
  t.shown.forEach(([s, v], n) => {
    const end = n + 1 < t.shown.length ? t.shown[n + 1][0] : t.end_s;
    d += `${n ? "L" : "M"}${p.x(s)} ${p.y(v)}L${p.x(end)} ${p.y(v)}`;
  });
  node("path", { d, fill: "none", stroke: colour(t.algorithm), "stroke-width": 2 }, p.svg);
  const estimates = t.decisions.filter((q) => q[2] !== null).map((q) => p.x(q[0]) + "," + p.y(cut(q[2]))).join(" ");
  node("polyline", { points: estimates, fill: "none", stroke: "var(--fg)", "stroke-dasharray": "4 3", opacity: 0.7 }, p.svg);
  for (const [s, rung, estimate, buffer, rule, reason] of t.decisions) {
    const dot = node("circle", { cx: p.x(s), cy: p.y(t.ladder[rung]), r: w < 700 ? 2.5 : 3.5, fill: colour(t.algorithm), class: "dot" }, p.svg);
    tip(dot, `${s.toFixed(2)} s, ${t.ladder[rung]} kbit/s (${rule}): ${reason} Estimate ${estimate === null ? "none" : estimate + " kbit/s"}, buffer ${buffer.toFixed(1)} s.`);
  }
  for (const [s, rung, reason] of t.aborts) {
    const x = p.x(s), y = p.y(t.ladder[rung]);
    const cross = node("path", { d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`, stroke: "var(--stall)", "stroke-width": 2 }, p.svg);
    tip(cross, `${s.toFixed(2)} s, given up: ${reason}`);
  }
  const most = Math.max(t.buffer_s, ...t.buffer.map((b) => b[1]));
  const q = plot(box, w, 120, [0, t.end_s], [0, most], "session time, s", "buffer, s");
  const line = t.buffer.map(([s, v]) => `L${q.x(s)} ${q.y(v)}`).join("");
  node("path", { d: `M${q.x(0)} ${q.y(0)}${line}L${q.x(t.end_s)} ${q.y(0)}Z`, fill: colour(t.algorithm), opacity: 0.35 }, q.svg);
  for (const [a, b] of t.stalls) node("rect", { x: q.x(a), width: Math.max(1, q.x(b) - q.x(a)), y: q.y(most), height: q.y(0) - q.y(most), fill: "var(--stall)", opacity: 0.3 }, q.svg);
}

function timelines() {
  const box = $("timelines"); box.textContent = "";
  for (const t of DATA.timelines) if (key(t) === $("set").value && t.trace === $("trace").value) timeline(box, t);
}
function draw() {
  const groups = groupsNow(), all = $("set").value === ALL;
  $("what").textContent = all
    ? `Mean over the ${keys.length} sets, each counting as one; below it the 95 % interval over sets (normal approximation).`
    : groups.every((g) => g.figures[0].values.length < 2) ? "One trace: nothing is known of how far its figures are from the mean."
    : "Mean over the traces of the set; below it the 95 % bootstrap interval.";
  $("legend").textContent = "";
  for (const g of groups) {
    const item = document.createElement("span"), mark = document.createElement("span");
    mark.className = "swatch"; mark.style.background = colour(g.algorithm);
    item.append(mark, g.algorithm); $("legend").append(item);
  }
  table(groups); pareto(groups); cdf(groups);
}
function chooseSet() {
  const traces = [...new Set(DATA.timelines.filter((t) => key(t) === $("set").value).map((t) => t.trace))];
  $("trace").textContent = "";
  traces.forEach((t) => option($("trace"), t, t));
  $("sessions").hidden = traces.length === 0;
  draw(); timelines();
}
document.title = DATA.title; $("title").textContent = DATA.title;
DATA.about.forEach((line) => { const p = document.createElement("p"); p.textContent = line; $("about").append(p); });
if (keys.length > 1) option($("set"), ALL, ALL);
keys.forEach((k) => option($("set"), k, k));
DATA.columns.forEach((c, i) => option($("figure"), i, c.name));
$("set").addEventListener("change", chooseSet);
$("figure").addEventListener("change", draw);
$("trace").addEventListener("change", timelines);
chooseSet();
dark.addEventListener("change", () => { draw(); timelines(); });
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); timelines(); } });
