"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

// The map: cells of every layer are numbers, 0 where there is nothing, else 1 to steps + 1 from the
// least to the greatest share.
const shades = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const heat = $("heat"), tip = $("tip");
const choice = $("color");
// What is shown: of all colors, or of one.
let all = null, layer = null;
// Differences from the cell above in seven bits per byte, twice as large, odd if negative; 0 is
// followed by how many are 0.
function cells(text) {
  const bytes = atob(text), [columns, rows] = data.cells;
  const numbers = new Uint16Array(columns * rows);
  let at = 0, i = 0;
  function number() {
    let n = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.charCodeAt(at++);
      n |= (byte & 127) << shift;
      if (byte < 128) return n;
    }
  }
  while (i < numbers.length) {
    const twice = number(), difference = twice & 1 ? -(twice + 1) / 2 : twice / 2;
    for (let left = twice === 0 ? number() : 1; left > 0; left--, i++) {
      numbers[i] = (i < columns ? 0 : numbers[i - columns]) + difference;
    }
  }
  return numbers;
}
function share(of, i) {
  of.cells ??= cells(of.data);
  return of.cells[i] === 0 ? null : of.min + (of.max - of.min) * (of.cells[i] - 1) / of.steps;
}
function percent(x) {
  const p = 100 * x;
  return (p >= 10 ? p.toFixed(1) : p >= 0.1 || p === 0 ? p.toFixed(2) : p.toPrecision(2)) + " %";
}
// With as many digits as tell the ends of a map apart.
function among(x, least, most) {
  let digits = 0;
  while (least < most && digits < 8 && (100 * least).toFixed(digits) === (100 * most).toFixed(digits)) digits++;
  const shown = percent(x), fixed = (100 * x).toFixed(digits + 1) + " %";
  return percent(least) === percent(most) && least < most ? fixed : shown;
}
function color(x) {
  const at = 4 * Math.min(Math.max(x, 0), 1), i = Math.min(Math.floor(at), 3);
  return shades[i].map((a, k) => Math.round(a + (shades[i + 1][k] - a) * (at - i)));
}
function select(next) {
  const before = choice.value;
  all = next;
  choice.parentElement.hidden = all.colors.length === 0;
  choice.replaceChildren(...["all colors", ...all.colors.map((c) => c.color)].map((name) => new Option(name)));
  choice.value = all.colors.some((c) => c.color === before) ? before : "all colors";
  for (const button of $("layers").children) {
    button.setAttribute("aria-pressed", String(button.textContent === all.name));
  }
  filtered();
}
function filtered() {
  paint(all.colors.find((c) => c.color === choice.value) ?? all);
}
choice.addEventListener("input", filtered);
function paint(next) {
  layer = next;
  layer.cells ??= cells(layer.data);
  const [columns, rows] = data.cells;
  heat.width = columns;
  heat.height = rows;
  // As high as the mesh is, but never a strip that cannot be pointed at.
  heat.style.aspectRatio = Math.min(Math.max(data.mesh[0] / data.mesh[1], 0.5), 4);
  const context = heat.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < columns * rows; i++) {
    const rgb = layer.cells[i] === 0 ? [236, 236, 236] : color((layer.cells[i] - 1) / layer.steps);
    image.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  heat.dataset.min = layer.min;
  heat.dataset.max = layer.max;
  $("low").textContent = among(layer.min, layer.min, layer.max);
  $("high").textContent = among(layer.max, layer.min, layer.max);
  const [w, h] = data.cell;
  const cell = w * h === 1 ? "" : ` A cell is ${w} × ${h} PEs.`;
  $("about").textContent = `${layer.title}; ${data.mesh[0]} × ${data.mesh[1]} PEs, grey: ${layer.none}.${cell}`;
}
for (const of of data.layers) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = of.name;
  button.addEventListener("click", () => select(of));
  $("layers").append(button);
}
function range(first, size, end) {
  const last = Math.min(first + size, end) - 1;
  return last > first ? `${first} to ${last}` : String(first);
}
function point(event) {
  const box = heat.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left - heat.clientLeft) / heat.clientWidth * data.cells[0]);
  const row = Math.floor((event.clientY - box.top - heat.clientTop) / heat.clientHeight * data.cells[1]);
  const inside = column >= 0 && row >= 0 && column < data.cells[0] && row < data.cells[1];
  tip.hidden = !inside;
  if (!inside) return;
  const at = row * data.cells[0] + column, x = share(layer, at);
  const columns = range(column * data.cell[0], data.cell[0], data.mesh[0]);
  const rows = range(row * data.cell[1], data.cell[1], data.mesh[1]);
  const parts = layer.colors ?? [], most = parts.map((c) => [share(c, at) ?? 0, c.color]).filter((c) => c[0] > 0);
  const list = most.sort((a, b) => b[0] - a[0]).slice(0, 6).map(([x, color]) => `\n${color}: ${percent(x)}`);
  tip.textContent = `column ${columns}, row ${rows}\n${layer.name}: ${x === null ? layer.none : among(x, layer.min, layer.max)}${list.join("")}`;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
}
heat.addEventListener("pointermove", point);
heat.addEventListener("pointerdown", point);
heat.addEventListener("pointerleave", () => { tip.hidden = true; });
select(data.layers[0]);
