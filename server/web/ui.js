// What the pages share: making elements, writing figures, drawing small plots.
"use strict";
const ui = (() => {
  const byId = (id) => document.getElementById(id);
  // Text goes in as text, never as markup. Properties that start with "on" are listeners, others attributes.
  const make = (name, properties = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value === true ? "" : String(value));
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };
  const show = (id, value) => { const e = byId(id); if (e && e.textContent !== value) e.textContent = value; };
  const rate = (bits) => !Number.isFinite(bits) ? "-" : bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mb/s` : `${Math.round(bits / 1e3)} kb/s`;
  const seconds = (ms) => ms === null || ms === undefined ? "-" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const length = (value) => {
    const s = Math.max(0, Math.round(value)), two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };
  const counted = (n, noun) => n === 1 ? `1 ${noun}` : `${n} ${noun}s`;

  const SVG = "http://www.w3.org/2000/svg";
  const shape = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    return element;
  };
  // A line through `points` ([x, y] with x ascending), drawn into a fresh plot with its largest value written.
  const line = (title, points, format) => {
    const top = Math.max(...points.map(([, y]) => y), 0);
    const last = points.at(-1);
    const figure = make("figure", { class: "plot" }, make("figcaption", {}, title, " ", make("b", {}, last ? format(last[1]) : "-")));
    const svg = shape("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: now ${last ? format(last[1]) : "unknown"}, most ${format(top)}` });
    svg.append(shape("path", { class: "base", d: "M0 39.5H100" }));
    if (points.length > 1) {
      const from = points[0][0], span = Math.max(last[0] - from, 1e-9);
      const at = ([x, y]) => `${((x - from) / span * 100).toFixed(2)} ${(38 - 35 * (top > 0 ? y / top : 0)).toFixed(2)}`;
      const path = points.map(at).join("L");
      svg.append(shape("path", { class: "area", d: `M0 39.5L${path}L100 39.5Z` }), shape("path", { class: "line", d: `M${path}` }));
    }
    figure.append(svg, make("span", { class: "top-value" }, points.length > 1 ? `most ${format(top)}` : "collecting ..."));
    return figure;
  };
  // The middle nine tenths of a distribution as a bar on a common scale, the median as a mark.
  const spread = (title, value, format) => {
    const known = value && value.count > 0;
    const top = known ? Math.max(value.p95, 1) * 1.15 : 1;
    const text = known ? `median ${format(value.median)}, nine in ten ${format(value.p5)} to ${format(value.p95)}` : "nobody has told yet";
    const svg = shape("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${text}` });
    svg.append(shape("rect", { class: "rail", x: 0, y: 3, width: 100, height: 2 }));
    if (known) {
      const left = value.p5 / top * 100, right = value.p95 / top * 100, middle = value.median / top * 100;
      svg.append(shape("rect", { class: "range", x: left, y: 1.5, width: Math.max(right - left, 0.8), height: 5 }), shape("rect", { class: "mark", x: middle - 0.4, y: 0, width: 0.8, height: 8 }));
    }
    return make("figure", { class: "plot spread" }, make("figcaption", {}, title, " ", make("b", {}, known ? format(value.median) : "-")), svg, make("span", { class: "top-value" }, text));
  };
  return { byId, make, show, rate, seconds, length, counted, line, spread };
})();
