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
    Plotly.update(chart, { x, y, text: select(hover), visible }, { "xaxis.autorange": true, "yaxis.autorange": true });
  }

  draw();
  dark.addEventListener("change", draw);
  for (const switches of document.querySelectorAll(".switches")) {
    switches.addEventListener("change", () => show(switches));
  }
})();
