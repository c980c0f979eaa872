"use strict";
// Sorting by a click on a heading, and the filter by machine. Without scripts the page shows everything, in its own order.
const collator = new Intl.Collator("en", { numeric: true });
const status = document.getElementById("status");

function compare(first, second, numeric) {
  return numeric ? Number(first.dataset.value) - Number(second.dataset.value) : collator.compare(first.textContent, second.textContent);
}

function sort(heading, column) {
  const body = heading.closest("table").tBodies[0];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  const rows = [...body.rows];
  const there = rows.filter((row) => !("missing" in row.cells[column].dataset));
  const missing = rows.filter((row) => "missing" in row.cells[column].dataset); // last, whichever way
  const numeric = there.every((row) => "value" in row.cells[column].dataset);
  there.sort((a, b) => (ascending ? 1 : -1) * compare(a.cells[column], b.cells[column], numeric));
  body.append(...there, ...missing);
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  status.textContent = `Sorted by ${heading.textContent}, ${ascending ? "lowest" : "highest"} first.`;
}

for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading, column));
    heading.append(button);
  });
}

function show(machine) {
  const parts = document.querySelectorAll("main [data-machine]");
  for (const part of parts) part.hidden = machine !== "" && part.dataset.machine !== "" && part.dataset.machine !== machine;
  for (const table of document.querySelectorAll(".table")) table.hidden = !table.querySelector("tbody tr:not([hidden])");
  for (const section of document.querySelectorAll("main section:not(.doubts)")) {
    const shown = section.querySelector("figure:not([hidden]), .table:not([hidden])");
    section.hidden = section.querySelector("table") !== null && shown === null;
  }
  const rows = document.querySelectorAll("tbody tr:not([hidden])").length;
  status.textContent = machine === "" ? "All machines." : `Only ${machine}: ${rows} rows.`;
}

const choice = document.getElementById("machine");
if (choice !== null) choice.addEventListener("change", () => show(choice.value));
document.getElementById("controls").hidden = false;
