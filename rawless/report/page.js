"use strict";
(() => {
  const parse = (element) => JSON.parse(element.textContent);
  const templates = parse(document.getElementById("templates"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;

  function draw() {
    for (const script of document.querySelectorAll("script.figure")) {
      const { data, layout } = parse(script);
      const zooms = Boolean(layout.dragmode);
      if (touch) layout.dragmode = false; // otherwise a finger cannot scroll the page past the chart
      layout.template = templates[dark.matches ? "dark" : "light"];
      Plotly.react(script.dataset.for, data, layout, {
        responsive: true,
        displaylogo: false,
        displayModeBar: zooms && !touch,
        modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
      });
    }
    document.querySelectorAll(".switches").forEach(show);
    document.querySelectorAll("[data-curves]").forEach(choose);
  }

  // The map's rows are stored once; its traces refer to them, and those of one colouring are drawn at a time.
  function show(switches) {
    const chart = document.getElementById(switches.dataset.of);
    const { projection, colour } = Object.fromEntries(
      [...switches.querySelectorAll("input:checked")].map((input) => [input.name, input.value]),
    );
    const { hover, positions } = chart.layout.meta;
    const select = (values) => chart.data.map((trace) => trace.meta.rows.map((row) => values[row]));
    const visible = chart.data.map((trace) => trace.meta.colour === colour);
    const [x, y] = positions[projection].map(select);
    const update = { x, y, text: select(hover), visible, selectedpoints: null };
    const dragmode = isSelecting() ? "lasso" : touch ? false : "zoom";
    Plotly.update(chart, update, {
      "xaxis.autorange": true, "yaxis.autorange": true, selections: [], dragmode,
    });
  }

  // The curves of the chosen class, or of those with the lowest average precision.
  function choose(select) {
    const shown = select.value ? 1 : Number(select.dataset.shown);
    const first = Number(select.value);
    for (const key of select.dataset.curves.split(" ")) {
      const chart = document.getElementById(key);
      const visible = chart.data.map((trace) => trace.meta.class >= first && trace.meta.class < first + shown);
      Plotly.restyle(chart, { visible });
    }
  }

  const lasso = document.getElementById("lasso");
  const isSelecting = () => lasso?.getAttribute("aria-pressed") === "true";

  function enableSelection() {
    const [chart, panel, box, said] = ["map", "selection", "selected-ids", "selected"].map((id) =>
      document.getElementById(id),
    );
    const { ids } = chart.layout.meta;
    let chosen = [];

    function choose(rows) {
      chosen = [...new Set(rows)].sort((one, other) => one - other).map((row) => ids[row]);
      box.value = chosen.join("\n");
      panel.hidden = false;
      const count = (number) => number.toLocaleString("en");
      said.textContent = `${count(chosen.length)} of the ${count(ids.length)} rows of the map are selected.`;
    }

    lasso.addEventListener("click", () => {
      lasso.setAttribute("aria-pressed", String(!isSelecting()));
      Plotly.relayout(chart, { dragmode: isSelecting() ? "lasso" : touch ? false : "zoom" });
      if (isSelecting() && panel.hidden) {
        choose([]);
        said.textContent = "Draw around rows in the map, with the shift key to add more.";
      }
    });
    chart.on("plotly_selected", (event) => {
      if (event?.points) choose(event.points.map((point) => point.data.meta.rows[point.pointIndex]));
    });
    document.getElementById("clear-ids").addEventListener("click", () => {
      choose([]);
      document.querySelectorAll(".switches").forEach(show);
    });
    document.getElementById("copy-ids").addEventListener("click", async () => {
      box.select(); // what a reader without a clipboard copies by hand
      try {
        await navigator.clipboard.writeText(box.value);
        said.textContent = "The ids were copied.";
      } catch {
        said.textContent = "The ids are marked: copy them with the keyboard.";
      }
    });
    document.getElementById("save-ids").addEventListener("click", () => {
      const quoted = chosen.map((id) => (/[",\r\n]/.test(id) ? `"${id.replaceAll('"', '""')}"` : id));
      const url = URL.createObjectURL(new Blob([["event_id", ...quoted, ""].join("\n")], { type: "text/csv" }));
      Object.assign(document.createElement("a"), { href: url, download: "selected.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    });
  }

  draw();
  dark.addEventListener("change", draw);
  for (const switches of document.querySelectorAll(".switches")) {
    switches.addEventListener("change", () => show(switches));
  }
  for (const select of document.querySelectorAll("[data-curves]")) {
    select.addEventListener("change", () => choose(select));
  }
  if (lasso) enableSelection();
})();
