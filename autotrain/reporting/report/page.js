"use strict";
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];

  // Sorting: a second click reverses the order. Rows without a value stay at the end.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => {
        const reverse = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", reverse ? "descending" : "ascending");
        const isNumber = head.classList.contains("number");
        const key = (row) => row.cells[place].dataset.value;
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = isNumber ? Number(x) - Number(y) : x.localeCompare(y);
          return reverse ? -order : order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  // Paper is always light, whatever the screen.
  const PAPER = { "--ink": "#1b1f24", "--grid": "#e6e9ed", "--tint": "#f4f6f8", "--soft": "#5b6470" };

  function colors(isPaper) {
    const style = getComputedStyle(root);
    const color = (name) => (isPaper ? PAPER[name] : style.getPropertyValue(name).trim());
    const [ink, grid] = [color("--ink"), color("--grid")];
    const changes = { "font.color": ink, "hoverlabel.bgcolor": color("--tint"), "hoverlabel.font.color": ink, "modebar.color": color("--soft"), "modebar.activecolor": ink };
    for (const axis of ["xaxis", "yaxis"]) {
      for (const part of ["gridcolor", "zerolinecolor", "linecolor"]) changes[`${axis}.${part}`] = grid;
    }
    return changes;
  }

  function recolor(isPaper) {
    for (const plot of plots) if (plot.data) Plotly.relayout(plot, colors(isPaper));
  }

  async function draw() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(unpacked).text();
    document.head.append(script);
    const figures = JSON.parse(document.getElementById("figures").textContent);
    const isWide = matchMedia("(min-width: 40rem) and (hover: hover)").matches;
    for (const plot of plots) {
      const figure = figures[plot.dataset.figure];
      figure.layout.modebar = { bgcolor: "rgba(0,0,0,0)" };
      figure.layout.font = { size: 12, family: getComputedStyle(document.body).fontFamily };
      await Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: isWide && "hover", modeBarButtonsToRemove: ["select2d", "lasso2d"] });
      await Plotly.relayout(plot, colors(false));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolor(false));
    addEventListener("beforeprint", () => recolor(true));
    addEventListener("afterprint", () => recolor(false));
    root.dataset.figures = String(plots.length);
  }

  draw().catch((error) => {
    root.dataset.error = String(error);
    for (const plot of plots) {
      if (!plot.data) {
        plot.style.height = "auto";
        plot.textContent = "This figure cannot be drawn. It needs a browser from 2023 or later.";
      }
    }
  });
})();
