// The kernels: filter and sort.
const filter = $("filter"), body = document.querySelector("#kernels tbody");
const rows = [...body.rows], heads = [...document.querySelectorAll("#kernels th")];
function show() {
  const text = filter.value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const fits = row.textContent.toLowerCase().includes(text);
    row.hidden = !fits;
    shown += fits;
  }
  $("count").textContent = shown + " of " + rows.length;
}
filter.addEventListener("input", show);
show();
function key(row, column) {
  const cell = row.cells[column], text = cell.dataset.sort ?? cell.textContent;
  const number = Number(text.replace(/[\s%]/g, ""));
  return Number.isNaN(number) ? text.toLowerCase() : number;
}
heads.forEach((head, column) => head.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") !== "descending";
  heads.forEach((h) => h.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const sign = down ? -1 : 1;
  rows.sort((a, b) => {
    const [x, y] = [key(a, column), key(b, column)];
    return sign * (x < y ? -1 : x > y ? 1 : 0);
  });
  body.append(...rows);
}));
