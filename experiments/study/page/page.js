"use strict";
// Texts of models, workflows and benchmarks are hostile: they reach the page as text nodes only, never as markup.
const run = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const mark = run.simulated ? " (simulated)" : "";
const MOST_LISTED = 400;

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") node.addEventListener("click", value);
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
const byId = (id) => document.getElementById(id);
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1) + "%");
const signed = (value) => (value >= 0 ? "+" : "−") + Math.abs(100 * value).toFixed(1);
const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
const style = (algo) => run.styles[algo] || { colour: "#666666", marker: "circle", dash: "" };
const label = (algo) => run.labels[algo] || algo;

// ---- header and winner
function header() {
  byId("title").replaceChildren(run.title, " ", run.simulated ? element("span", { class: "simulated" }, "simulated") : "");
  byId("facts").textContent = run.facts.join(" · ");
  const best = run.winner;
  if (!best) { byId("winner").textContent = "No designer has finished yet."; return; }
  byId("winner").append(
    element("p", {}, `${label(best.algo)}, seed ${best.seed}: ${percent(best.validation)} of the validation items, `
      + `${percent(best.fresh)} on fresh draws, ${percent(best.test)} of the test items${mark}; `
      + `${whole(best.tokens)} executor tokens an item. The best seed workflow: ${percent(best.seed_test)} of the test items.`),
    best.row === null ? element("p", { class: "soft" }, "It is a seed workflow, or no text of the meta-agent holds it.")
      : why(run.rows[best.row]),
    element("details", {}, element("summary", {}, "Its source"), element("pre", {}, best.source)));
}

// Why it won, in one look: what the meta-agent said, what it changed, and which items that solved.
function why(row) {
  return element("div", {},
    element("p", {}, `Written in episode ${row.episode}, turn ${row.turn + 1}, from a workflow with ${percent(row.parent_accuracy)}. `,
      element("button", { onclick: () => open(row.index) }, "Open it below: prompt, whole text, failed items")),
    shown_changes(row),
    element("p", { class: "soft" }, "What the meta-agent said:"), element("pre", {}, said(row)),
    change(row, { open: "" }));
}

// ---- plots
function axes(width, height, xs, ys, xLabel, yLabel) {
  const frame = { left: 46, right: 10, top: 10, bottom: 36 };
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yLabel} over ${xLabel}` });
  const span = (values) => { const low = Math.min(...values), high = Math.max(...values); return high > low ? [low, high] : [low - 0.5, high + 0.5]; };
  const [x0, x1] = span(xs), [y0, y1] = span(ys);
  const x = (value) => frame.left + ((value - x0) / (x1 - x0)) * (width - frame.left - frame.right);
  const y = (value) => height - frame.bottom - ((value - y0) / (y1 - y0)) * (height - frame.top - frame.bottom);
  for (let i = 0; i <= 4; i++) {
    const yv = y0 + ((y1 - y0) * i) / 4, xv = x0 + ((x1 - x0) * i) / 4;
    svg.append(shape("line", { x1: frame.left, x2: width - frame.right, y1: y(yv), y2: y(yv), stroke: "currentColor", "stroke-opacity": 0.12 }),
      shape("text", { x: frame.left - 5, y: y(yv) + 4, "text-anchor": "end" }, (100 * yv).toFixed(0)),
      shape("text", { x: x(xv), y: height - frame.bottom + 14, "text-anchor": "middle" }, whole(xv)));
  }
  svg.append(shape("text", { x: width / 2, y: height - 4, "text-anchor": "middle" }, xLabel), shape("text", { x: 4, y: 12 }, yLabel));
  return { svg, x, y };
}
function marker(kind, x, y, colour, size = 4) {
  if (kind === "square") return shape("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, fill: colour });
  if (kind === "triangle") return shape("polygon", { points: `${x},${y - size * 1.2} ${x - size * 1.1},${y + size} ${x + size * 1.1},${y + size}`, fill: colour });
  if (kind === "diamond") return shape("polygon", { points: `${x},${y - size * 1.3} ${x + size * 1.3},${y} ${x},${y + size * 1.3} ${x - size * 1.3},${y}`, fill: colour });
  if (kind === "cross") return shape("path", { d: `M${x - size},${y - size}L${x + size},${y + size}M${x - size},${y + size}L${x + size},${y - size}`, stroke: colour, "stroke-width": 2 });
  return shape("circle", { cx: x, cy: y, r: size, fill: colour });
}
function curves(key, caption) {
  const lines = run.cells.map((cell) => ({ ...cell, points: cell.curve.filter((p) => p[key] !== undefined && p[key] !== null) })).filter((c) => c.points.length);
  if (!lines.length) return null;
  const all = lines.flatMap((line) => line.points);
  const { svg, x, y } = axes(560, 320, all.map((p) => p.calls), all.map((p) => p[key]), "executor calls" + mark, "%");
  for (const line of lines) {
    const { colour, dash, marker: kind } = style(line.algo);
    const path = line.points.map((p, i) => `${i ? "L" : "M"}${x(p.calls).toFixed(1)},${y(p[key]).toFixed(1)}`).join("");
    svg.append(shape("path", { d: path, fill: "none", stroke: colour, "stroke-width": 1.6, "stroke-dasharray": dash, "stroke-opacity": 0.8 }));
    const end = line.points[line.points.length - 1];
    const dot = marker(kind, x(end.calls), y(end[key]), colour);
    dot.append(shape("title", {}, `${label(line.algo)}, seed ${line.seed}: ${percent(end[key])} after ${whole(end.calls)} calls`));
    svg.append(dot);
  }
  return element("figure", {}, svg, element("figcaption", {}, caption + mark + "; a line for each seed"));
}
function pareto() {
  const points = run.tested.filter((p) => p.tokens !== null && p.test !== null);
  if (!points.length) return null;
  const { svg, x, y } = axes(560, 320, points.map((p) => p.tokens), points.map((p) => p.test), "executor tokens an item" + mark, "%");
  let best = -1;
  const front = [...points].sort((a, b) => a.tokens - b.tokens || b.test - a.test).filter((p) => p.test > best && ((best = p.test), true));
  svg.append(shape("path", { d: front.map((p, i) => `${i ? "L" : "M"}${x(p.tokens)},${y(p.test)}`).join(""), fill: "none", stroke: "currentColor", "stroke-opacity": 0.5, "stroke-dasharray": "4 3" }));
  for (const p of points) {
    const dot = marker(style(p.algo).marker, x(p.tokens), y(p.test), style(p.algo).colour, 3.5);
    dot.append(shape("title", {}, `${label(p.algo)}, seed ${p.seed}: ${percent(p.test)} at ${whole(p.tokens)} tokens an item`));
    svg.append(dot);
  }
  return element("figure", {}, svg, element("figcaption", {}, `Test accuracy against tokens an item of every tested workflow${mark}; dashed: the Pareto front`));
}
function plots() {
  byId("legend").append(...Object.keys(run.labels).map((algo) => {
    const line = element("i"); line.style.borderTopColor = style(algo).colour; if (style(algo).dash) line.style.borderTopStyle = "dashed";
    return element("span", {}, line, label(algo));
  }));
  byId("plots").append(...[curves("accuracy", "Mean validation accuracy of the proposals"), curves("best", "Best validation accuracy so far"), pareto()].filter(Boolean));
}

// ---- tables
function tables() {
  for (const table of run.tables) {
    const head = element("tr", {}, ...table.columns.map((column) => element("th", { scope: "col" }, column)));
    const rows = table.rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
    byId("tables").append(element("h3", {}, table.title), element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))),
      ...table.notes.map((note) => element("p", { class: "soft" }, note)));
  }
}

// ---- the tree of workflows
let open_row = null;
const which = { all: () => true, best: (row) => row.new_best, chosen: (row) => row.chosen, failed: (row) => row.status !== "evaluated" };
function filtered() {
  const algo = byId("designer").value, seed = byId("seed").value, query = byId("query").value.toLowerCase();
  const wanted = which[byId("which").value];
  return run.rows.filter((row) => (algo === "" || row.algo === algo) && (seed === "" || String(row.seed) === seed) && wanted(row)
    && (query === "" || run.texts[row.action].toLowerCase().includes(query)));
}
function list() {
  const rows = filtered();
  byId("count").textContent = rows.length > MOST_LISTED ? `${MOST_LISTED} of ${whole(rows.length)} texts; narrow the filters` : `${whole(rows.length)} texts`;
  const nodes = [];
  let head = "";
  for (const row of rows.slice(0, MOST_LISTED)) {
    const title = `${label(row.algo)}, seed ${row.seed}, episode ${row.episode}`;
    if (title !== head) { nodes.push(element("div", { class: "head" }, title)); head = title; }
    const bar = element("span", { class: "bar" }); bar.style.width = `${60 * (row.accuracy || 0)}px`;
    const gain = row.accuracy !== null && row.parent_accuracy !== null ? row.accuracy - row.parent_accuracy : null;
    const button = element("button", { onclick: () => open(row.index) }, bar, `turn ${row.turn + 1}, candidate ${row.candidate + 1}${row.kind === "repair" ? ", repair" : ""}: `,
      row.status === "evaluated" ? percent(row.accuracy) : row.status,
      gain === null ? "" : element("span", { class: gain >= 0 ? "good" : "bad" }, ` ${signed(gain)}`),
      row.new_best ? " ★ new best" : "", row.chosen ? " → taken" : "");
    button.style.paddingLeft = `${8 + 14 * row.turn}px`;
    if (row.index === open_row) button.setAttribute("aria-current", "true");
    nodes.push(button);
  }
  byId("tree").replaceChildren(...nodes);
}
function difference(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  if (a.length * b.length > 4e6) return [["=", "too long to compare"]];
  const width = b.length + 1, length = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--)
    length[i * width + j] = a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
  const out = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { out.push([" ", a[i]]); i++; j++; }
    else if (j < b.length && (i === a.length || length[i * width + j + 1] > length[(i + 1) * width + j])) out.push(["+", b[j++]]);
    else out.push(["-", a[i++]]);
  }
  return out;
}
function shown_difference(before, after) {
  const names = { "+": "added", "-": "removed", " ": "", "=": "soft" };
  return element("pre", {}, ...difference(before, after).map(([sign, line]) => element("span", { class: names[sign] }, `${sign} ${line}\n`)));
}
// Which items the workflow solves and its parent does not, and the other way round; null where that was not written down.
function changed(row) {
  const before = row.parent !== null ? run.rows[row.parent].items : row.start !== null ? run.starts[row.start].items : null;
  if (!row.items || !before) return null;
  const now = new Set(row.items.failed.map(([item]) => item)), then = new Set(before.failed.map(([item]) => item));
  return { gained: [...then].filter((item) => !now.has(item)), lost: [...now].filter((item) => !then.has(item)) };
}
function shown_changes(row) {
  const found = changed(row);
  if (found === null) return null;
  const some = (items) => items.slice(0, 12).map((item) => run.items[item]).join(", ") + (items.length > 12 ? ", ..." : "");
  return element("p", {}, "Against its parent: ", element("span", { class: "good" }, `${found.gained.length} items solved anew`), found.gained.length ? ` (${some(found.gained)})` : "",
    ", ", element("span", { class: "bad" }, `${found.lost.length} lost`), found.lost.length ? ` (${some(found.lost)})` : "", ".");
}
function items(row) {
  if (!row.items) return null;
  const { count, failed } = row.items;
  const lines = failed.map(([item, status, score, what]) => element("tr", {}, element("td", {}, run.items[item]), element("td", {}, status === "ok" ? "wrong" : status), element("td", {}, score.toFixed(2)), element("td", { class: "wrap" }, run.texts[what])));
  return element("details", failed.length > 12 ? {} : { open: "" }, element("summary", {}, `What failed: ${failed.length} of ${count} items`),
    element("div", { class: "scroll" }, element("table", {}, element("tbody", {}, ...lines))));
}
function transcript(row) {
  if (!row.calls.length) return null;
  return element("details", {}, element("summary", {}, `Executor calls of ${row.calls.length} failed items${mark}`),
    ...row.calls.map((call) => element("pre", {}, `item ${run.items[call.item]}\n\n${run.texts[call.text]}`)));
}
// What the meta-agent said before its code.
const said = (row) => run.texts[row.action].split("```")[0].trim() || "(nothing but code)";
function change(row, attributes) {
  if (row.workflow === null || row.parent_workflow === null) return null;
  return element("details", attributes, element("summary", {}, "Difference to the parent"), shown_difference(run.texts[row.parent_workflow], run.texts[row.workflow]));
}
function open(index) {
  open_row = index;
  if (location.protocol !== "about:") history.replaceState(null, "", `#${index}`); // inside a notebook it has no address
  const row = run.rows[index];
  const interval = row.interval ? ` [${percent(row.interval[0])}, ${percent(row.interval[1])}]` : "";
  const facts = [`${label(row.algo)}, seed ${row.seed}, episode ${row.episode}, turn ${row.turn + 1}, candidate ${row.candidate + 1}`, row.kind, row.status,
    `validation ${percent(row.accuracy)}${interval}${mark}`, `reward ${row.reward === null ? "none" : row.reward.toFixed(3)}`,
    row.new_best ? "new best" : "", row.chosen ? "the episode went on from it" : "", row.truncated ? "cut at the token limit" : ""].filter(Boolean);
  const children = run.rows.filter((other) => other.parent === index);
  byId("detail").replaceChildren(
    element("h3", {}, facts[0]), element("p", {}, facts.slice(1).join(" · ")),
    element("p", {}, row.parent !== null ? element("button", { onclick: () => open(row.parent) }, `Parent: turn ${run.rows[row.parent].turn + 1}, ${percent(run.rows[row.parent].accuracy)}`)
      : `Parent: the workflow that the episode started from, ${percent(row.parent_accuracy)}`, children.length ? ` · ${children.length} texts followed from it` : ""),
    ...[shown_changes(row), items(row), transcript(row)].filter(Boolean),
    element("details", { open: "" }, element("summary", {}, "What the meta-agent wrote"), element("pre", {}, run.texts[row.action])),
    change(row, {}) || "",
    element("details", {}, element("summary", {}, "The prompt it saw"), ...row.messages.map((number) => {
      const [role, text] = run.messages[number];
      return element("div", {}, element("span", { class: "soft" }, role), element("pre", {}, run.texts[text]));
    })));
  list();
  byId("detail").scrollIntoView({ block: "nearest" });
}
function filters() {
  const option = (value, text) => element("option", { value }, text);
  byId("designer").append(option("", "all"), ...[...new Set(run.rows.map((row) => row.algo))].map((algo) => option(algo, label(algo))));
  byId("seed").append(option("", "all"), ...[...new Set(run.rows.map((row) => row.seed))].sort((a, b) => a - b).map((seed) => option(seed, seed)));
  for (const id of ["designer", "seed", "which"]) byId(id).addEventListener("change", list);
  byId("query").addEventListener("input", list);
}

header(); plots(); tables(); filters(); list();
// view.html#12 opens text 12; the address follows what is open, so that it can be passed on.
if (/^#\d+$/.test(location.hash) && run.rows[Number(location.hash.slice(1))]) open(Number(location.hash.slice(1)));
document.documentElement.dataset.ready = "true";
