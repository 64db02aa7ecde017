"use strict";
// Draws what lies in the block "data": charts with plotly, the table of every step a hundred rows at a time.
(() => {
  const byId = id => document.getElementById(id);
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // Light and dark ----------------------------------------------------------------------------------------------------
  const root = document.documentElement, theme = byId("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
      } catch {  // not allowed: what is to be copied is selected
        getSelection().selectAllChildren(button.parentElement.querySelector("code"));
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  if (!byId("data")) return;  // a page without charts
  const data = JSON.parse(byId("data").textContent);

  // Words -------------------------------------------------------------------------------------------------------------
  const named = key => `${key.phase}, ${key.tensor}` + (key.part === "whole" ? "" : ` (${key.part} part)`);
  const short = value => value === null ? "–" : value === 0 ? "0"
    : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(2).replace("e+", "e") : String(Number(value.toPrecision(3)));
  const budget = used => used === null ? "not judged" : used === -1 ? "not equal" : used === 0 ? "equal"
    : used > 10 ? `${short(used)} × budget` : `${short(100 * used)} % of budget`;
  const distance = value => value === null ? "–" : value === -1 ? "not finite" : short(value);
  const start = (run, column) => run.first + column * run.width;
  const steps = (run, column) => {
    const from = start(run, column), to = Math.min(from + run.width - 1, run.last);
    return from === to ? `${from}` : `${from} to ${to}`;
  };
  // A name is shown as it is: plotly reads some tags and entities in text.
  const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  // Charts ------------------------------------------------------------------------------------------------------------
  const BLUE = "#2a82c9", ORANGE = "#d9641e";  // told apart by everybody; dashes say the same
  const LINES = ["#2a82c9", "#d9641e", "#2d9d78", "#b565a7", "#a08200", "#5b7db1", "#c4454d", "#6b8e23"];
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const options = { displayModeBar: false, responsive: true };
  const clear = "rgba(0,0,0,0)";
  // Said to plotly and not in the style: it must measure labels in the font that they are drawn in.
  const family = getComputedStyle(document.documentElement).getPropertyValue("--sans").trim();
  const layout = (height, more = {}) => ({
    height, paper_bgcolor: clear, plot_bgcolor: clear, font: { size: 12, family }, margin: { l: 60, r: 12, t: 10, b: 40 },
    hoverlabel: { bgcolor: "#20262d", font: { color: "#fff" }, align: "left" }, showlegend: false, ...more,
  });
  const axis = (title, more = {}) => ({ title: { text: title, standoff: 8 }, zeroline: false, automargin: true, ...more });
  const stepAxis = (run, more = {}) => axis("step", { tickformat: "d", ...(run.last <= 12 ? { dtick: 1 } : {}), ...more });
  const centre = (run, column) => start(run, column) + (Math.min(run.width, run.last - start(run, column) + 1) - 1) / 2;

  // Within its budget dark, beyond it bright: blue to yellow as in cividis, with a gap at 100 % that lightness alone tells.
  const SCALE = [[0, "#001c44"], [0.1, "#12376e"], [0.3, "#4a5f86"], [0.5, "#8b8e94"],
    [0.5001, "#f0c929"], [0.7, "#f7dc3a"], [1, "#fff04a"]];
  const shade = used => used === null ? null : used === -1 ? 5 : used === 0 ? -5 : Math.max(-4, Math.min(4, Math.log10(used)));

  function drawBudget(run) {
    const rows = run.used.map((row, index) => index).filter(row => run.used[row].some(used => used !== null));
    const lanes = { local: "each phase given the reference's own inputs (local lane)", free: "each side going its own way (free lane)" };
    const judged = run.lanes.map(lane => lanes[lane]).join("; where that was not judged, ") || "batches and initial weights alone";
    const columns = run.width > 1 ? ` Each column is the worst of ${run.width} steps.` : "";
    const unjudged = run.keys.length - rows.length;
    byId("budget-note").textContent = rows.length
      ? `Share of what rounding can explain, ${run.precision}: ${judged}. Bright is beyond; ▲ marks where a tensor first `
        + `goes beyond.${columns}` + (unjudged ? ` ${unjudged} tensors were not judged.` : "")
      : `${run.precision}: nothing was held against a budget.`;
    byId("budget").hidden = !rows.length;
    if (!rows.length) return;
    const narrow = byId("budget").clientWidth < 600;
    const x = run.used[0].map((_, column) => centre(run, column));
    const y = rows.map(row => plain(named(run.keys[row])));
    const traces = [{
      type: "heatmap", x, y, z: rows.map(row => run.used[row].map(shade)), zmin: -5, zmax: 5, colorscale: SCALE,
      text: rows.map(row => run.used[row].map((used, column) =>
        `step ${steps(run, column)}<br>${plain(named(run.keys[row]))}<br><b>${budget(used)}</b>`)),
      hoverinfo: "text", xgap: byId("budget").clientWidth / x.length > 12 ? 1 : 0, ygap: 1, showscale: !narrow,
      colorbar: { thickness: 12, outlinewidth: 0, x: 1.01, xpad: 4, ...(rows.length < 12
        ? { tickvals: [-5, 0, 5], ticktext: ["equal", "100 %", "not equal"] }
        : { tickvals: [-5, -4, -2, 0, 2, 4, 5], ticktext: ["equal", "0.01 %", "1 %", "100 %", "100 ×", "10⁴ ×", "not equal"] }) },
    }];
    const marks = run.beyond.filter(mark => rows.includes(mark.row));
    traces.push({
      type: "scatter", mode: "markers", hoverinfo: "skip",
      x: marks.map(mark => centre(run, mark.column)), y: marks.map(mark => plain(named(run.keys[mark.row]))),
      marker: { symbol: "triangle-up", size: 9, color: "#fff", line: { color: "#000", width: 1.3 } },
    });
    const first = run.divergence, annotations = [];
    if (first && rows.includes(first.row)) {
      const at = centre(run, Math.floor((first.step - run.first) / run.width)), above = rows.indexOf(first.row) > 3;
      const right = at - run.first < (run.last - run.first) / 2;
      annotations.push({ x: at, y: plain(named(run.keys[first.row])), text: (narrow ? "" : "first divergence: ") + `step ${first.step}`,
        showarrow: true, arrowhead: 2, arrowwidth: 1.6, ax: (right ? 1 : -1) * (narrow ? 30 : 70), ay: above ? -42 : 42, borderpad: 4,
        xanchor: right ? "left" : "right" });
    }
    Plotly.react("budget", traces, layout(Math.max(230, 90 + 17 * rows.length), {
      xaxis: stepAxis(run, { showgrid: false, range: [run.first - 0.5, run.last + 0.5] }), annotations,
      yaxis: { range: [rows.length - 0.5, -0.5], automargin: true, showgrid: false, dtick: 1, type: "category",
        tickfont: { size: narrow ? 9 : 12 } },
      margin: { l: 60, r: 12, t: 14, b: 40 },
    }), options);
  }

  // Places side by side; all of them are there before the first is drawn, so that each knows its width.
  function boxes(place, titles) {
    const plots = titles.map(([, , aria]) => element("div", "", { role: "img", "aria-label": aria }));
    byId(place).replaceChildren(...titles.map(([title, small], index) => {
      const box = element("div", ""), heading = element("h3", title);
      if (small) heading.append(element("small", small));
      box.append(heading, plots[index]);
      return box;
    }));
    return plots;
  }

  const TITLES = { whole: "Loss", data: "Data part", penalty: "Penalty part" };
  function drawLosses(run) {
    byId("losses-figure").hidden = !run.losses.length;
    const plots = boxes("losses", run.losses.map(loss => [TITLES[loss.part], "", `${TITLES[loss.part]} of both sides over the steps`]));
    run.losses.forEach((loss, index) => {
      const x = loss.reference.map((_, column) => start(run, column));
      const said = ["reference", "candidate"].filter(side => loss[side].some(value => value !== null));
      Plotly.react(plots[index], said.map(side => ({
        type: "scatter", mode: x.length < 25 ? "lines+markers" : "lines", name: side, x, y: loss[side],
        line: { color: side === "reference" ? BLUE : ORANGE, width: side === "reference" ? 3.4 : 1.8,
          dash: side === "reference" ? "solid" : "6px,4px" },
        marker: { size: side === "reference" ? 9 : 6, symbol: side === "reference" ? "circle" : "diamond" },
        hovertemplate: `${side}: %{y:.9g}<extra></extra>`,
      })), layout(230, { hovermode: "x unified", xaxis: stepAxis(run), yaxis: axis("", { exponentformat: "power" }) }), options);
    });
  }

  function drawDrift(run) {
    const limits = run.drift.some(line => line.limit);
    byId("drift-note").textContent = "The largest distance between the two sides, each going its own way, on a logarithmic "
      + "scale" + (limits ? "; dotted, what the element nearest to its limit may be off by: its envelope" : "; no envelope was asked for (--envelope)")
      + (run.width > 1 ? `. Of each ${run.width} steps the worst.` : ".") + " A gap is a distance of zero.";
    byId("drift-figure").hidden = !run.drift.length;
    if (!run.drift.length) return;
    const x = run.distance[0].map((_, column) => start(run, column)), traces = [];
    run.drift.forEach((line, index) => {
      const color = LINES[index % LINES.length], positive = values => values.map(value => value > 0 ? value : null);
      const mode = x.length < 25 ? "lines+markers" : "lines", group = `${index}`;
      traces.push({ type: "scatter", mode, x, y: positive(line.distance), name: plain(line.name), legendgroup: group,
        line: { color, width: 2, dash: DASHES[Math.floor(index / 2) % DASHES.length] }, marker: { size: 5, symbol: index },
        hovertemplate: `${plain(line.name)}: %{y:.3g}<extra></extra>` });
      if (line.limit) traces.push({ type: "scatter", mode: x.length < 2 ? "markers" : "lines", x, y: positive(line.limit),
        name: `${plain(line.name)}, envelope`, legendgroup: group, showlegend: false, connectgaps: true,
        line: { color, width: 1.4, dash: "2px,3px" }, marker: { symbol: "line-ew-open", size: 12 },
        hovertemplate: `${plain(line.name)}, envelope: %{y:.3g}<extra></extra>` });
    });
    const all = traces.flatMap(trace => trace.y).filter(value => value !== null);
    const decades = Math.log10(Math.max(...all) / Math.min(...all));
    const first = run.divergence, shapes = [];
    if (first) shapes.push({ type: "line", x0: first.step, x1: first.step, y0: 0, y1: 1, yref: "paper", line: { color: "#8a8f96", width: 1, dash: "4px,3px" } });
    Plotly.react("drift", traces, layout(340, { shapes, showlegend: true, hovermode: "closest",
      legend: { orientation: "h", y: -0.22 }, xaxis: stepAxis(run),
      yaxis: axis("", { type: "log", exponentformat: "power", ...(decades > 2 ? { dtick: Math.ceil(decades / 7) } : {}) }),
      annotations: first ? [{ x: first.step, y: 1, yref: "paper", yanchor: "bottom", xanchor: "left", showarrow: false, text: `first divergence: step ${first.step}` }] : [],
      margin: { l: 60, r: 12, t: 26, b: 40 } }), options);
  }

  // Blue below, grey at zero, orange above: told apart without green or red.
  const SIGNED = [[0, "#0b559f"], [0.25, "#6aa5d8"], [0.5, "#ecebe8"], [0.75, "#ec9a5c"], [1, "#a63d05"]];
  function whose(found, row, column) {
    if (!found.image) {
      const index = found.shape.length > 1 ? [found.rows[row], found.columns[column]] : [found.columns[column]];
      return `element [${index.join(", ")}]`;
    }
    const [height, width, across] = found.image;
    const unit = found.columns[Math.floor(row / (height + 1)) * across + Math.floor(column / (width + 1))];
    const [y, x] = [row % (height + 1), column % (width + 1)];
    return `unit ${unit}, input ${y * width + x} (row ${y}, column ${x})`;
  }
  function drawResidual(found) {
    const images = found.image ? `the ${found.image[0]} × ${found.image[1]} inputs of each of its ${found.columns.length} units as an image` : `a ${found.shape.join(" × ")} array`;
    byId("residual-note").textContent = `${found.name} at step ${found.step}, ${found.precision}, ${found.lane} lane: ${images}. `
      + (found.cut ? `Shown: ${found.cut}. ` : "")
      + (found.panels.length > 1 ? "Beside it what the causes make of the same step, and what they leave over, on one scale of colours." : "No cause is known to set beside it.");
    const plots = boxes("residual", found.panels.map(({ title, largest }) =>
      [title, largest === "0" ? "zero everywhere" : `at most ${largest}`, `${title}: ${found.name}, at most ${largest}`]));
    found.panels.forEach((panel, index) => {
      const [down, across] = [panel.z.length, panel.z[0].length];
      const square = found.image || (across / down < 5 && down / across < 5);
      Plotly.react(plots[index], [{
        type: "heatmap", z: panel.z, zmin: -found.largest, zmax: found.largest, colorscale: SIGNED, hoverinfo: "text",
        text: panel.z.map((line, row) => line.map((value, column) => value === null ? "" : `${whose(found, row, column)}<br><b>${short(value)}</b>`)),
        colorbar: { thickness: 9, outlinewidth: 0, nticks: 5, exponentformat: "power", len: 1, xpad: 4 },
      }], layout(square ? Math.max(150, Math.min(400, (plots[index].clientWidth - 90) * down / across)) : 190, {
        margin: { l: 4, r: 4, t: 6, b: 6 }, xaxis: { visible: false, ...(square ? { scaleanchor: "y", constrain: "domain" } : {}) },
        yaxis: { visible: false, autorange: "reversed", ...(square ? { constrain: "domain" } : {}) } }), options);
    });
  }

  // Every step --------------------------------------------------------------------------------------------------------
  const PAGE = 100;
  let run, limit = PAGE;
  function* cells() {
    for (let column = 0; column < run.used[0].length; column++)
      for (let row = 0; row < run.keys.length; row++)
        if (run.used[row][column] !== null || run.distance[row][column] !== null) yield [row, column];
  }
  function list() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(word => word && word !== "step");
    const numbers = words.filter(word => /^\d+$/.test(word)).map(Number), rest = words.filter(word => !/^\d+$/.test(word));
    const only = byId("only").checked, names = run.keys.map(key => named(key).toLowerCase());
    const rows = [];
    let found = 0;
    for (const [row, column] of cells()) {
      const used = run.used[row][column], beyond = used === -1 || used > 1, from = start(run, column);
      if (only && !beyond || !rest.every(word => names[row].includes(word))
        || !numbers.every(number => number >= from && number < from + run.width)) continue;
      if (++found > limit) continue;
      const key = run.keys[row], line = element("tr", "", beyond ? { class: "beyond" } : {}), name = element("th", key.tensor, { scope: "row" });
      if (key.part !== "whole") name.append(" ", element("small", key.part));
      line.append(element("td", steps(run, column), { class: "n" }), element("td", key.phase), name,
        element("td", (beyond ? "▲ " : "") + budget(used), { class: beyond ? "n over" : "n" }),
        element("td", distance(run.distance[row][column]), { class: "n" }));
      rows.push(line);
    }
    if (found > limit) {
      const more = element("button", `Show ${Math.min(PAGE, found - limit)} more`, { type: "button" }), cell = element("td", "", { colspan: 5 });
      more.addEventListener("click", () => { limit += PAGE; list(); });
      cell.append(more);
      rows.push(element("tr", ""));
      rows.at(-1).append(cell);
    }
    byId("rows").replaceChildren(...rows);
    byId("count").textContent = `${Math.min(limit, found).toLocaleString("en")} of ${found.toLocaleString("en")} rows, ${run.precision}`;
    byId("columns-note").textContent = run.width > 1 ? `A run this long is shown ${run.width} steps at a time, each row the worst of them.` : "";
  }
  const anew = () => { limit = PAGE; list(); };
  byId("search").addEventListener("input", anew);
  byId("only").addEventListener("change", anew);
  document.querySelector(".search").addEventListener("submit", event => event.preventDefault());

  // Choices -----------------------------------------------------------------------------------------------------------
  function choose(place, names, taken, act) {
    if (names.length < 2) return;
    const buttons = names.map((name, index) => element("button", name, { type: "button", "aria-pressed": index === taken }));
    buttons.forEach((button, index) => button.addEventListener("click", () => {
      buttons.forEach((other, at) => other.setAttribute("aria-pressed", at === index));
      act(index);
    }));
    byId(place).replaceChildren(...buttons);
  }
  // One after the other, so that the page stays usable while it is drawn.
  async function draw(...steps) {
    for (const step of steps) {
      await new Promise(resolve => setTimeout(resolve));
      step();
    }
  }
  const charts = () => draw(() => drawBudget(run), () => drawLosses(run), () => drawDrift(run));
  // Paper is narrower than a window, and plotly hears of windows only.
  const drawn = () => [...document.querySelectorAll(".js-plotly-plot")];
  addEventListener("beforeprint", () => drawn().forEach(plot =>
    Plotly.relayout(plot, { width: Math.min(plot.clientWidth, plot.closest(".grid") ? 310 : 640) })));
  addEventListener("afterprint", () => drawn().forEach(plot => Plotly.relayout(plot, { width: null, autosize: true })));

  const take = index => { run = data.runs[index]; anew(); };

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), character => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function main() {
    for (const figure of document.querySelectorAll(".chart")) figure.hidden = true;
    byId("charts").hidden = byId("steps").hidden = !data.runs.length;
    if (data.runs.length) {
      const shown = Math.max(0, data.runs.findIndex(one => one.precision === data.shown));
      take(shown);
      const names = data.runs.map(one => one.precision);
      byId("waiting").hidden = false;
      byId("waiting").textContent = "The charts are being drawn …";
      await new Promise(resolve => setTimeout(resolve, 50));  // the answer is on the screen before the charts are begun
      document.head.append(element("script", await unpack(byId("plotly").textContent)));
      byId("waiting").hidden = true;
      choose("precisions", names, shown, index => { take(index); charts(); });
      for (const figure of document.querySelectorAll(".chart")) figure.hidden = false;
      byId("residual-figure").hidden = !data.residuals.length;
      await charts();
      if (data.residuals.length) {
        choose("tensors-choice", data.residuals.map(found => found.name), 0, index => drawResidual(data.residuals[index]));
        await draw(() => drawResidual(data.residuals[0]));
      }
    }
    root.dataset.drawn = "yes";
  }
  main().catch(error => {
    byId("waiting").hidden = false;
    byId("waiting").textContent = `The charts could not be drawn: ${error.message}. The table of every step has the same values.`;
    throw error;
  });
})();
