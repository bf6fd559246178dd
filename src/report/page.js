// What a reader can do on a page: sort, filter, open rows, choose curves, look behind a confusion matrix.
"use strict";
(() => {
  const data = document.getElementById("facts");
  const facts = data ? JSON.parse(data.textContent) : {};
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // ---------------------------------------------------------------- tables: a tbody is what sorts and filters as one

  const orderOf = (body, column) => {
    const cell = body.rows[0].cells[column];
    const text = (cell.dataset.order ?? cell.textContent).trim();
    const number = text === "" ? NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  };

  const compare = (one, other, sign) => {
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1; // what has no number comes last
    return sign * (typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true }));
  };

  const sort = (table, header) => {
    const [first, second] = header.dataset.first === "descending" ? ["descending", "ascending"] : ["ascending", "descending"];
    const order = header.getAttribute("aria-sort") === first ? second : first;
    for (const other of table.tHead.rows[0].cells) {
      if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", other === header ? order : "none");
    }
    const sign = order === "ascending" ? 1 : -1;
    const bodies = [...table.tBodies].map((body) => [orderOf(body, header.cellIndex), body]);
    bodies.sort(([one], [other]) => compare(one, other, sign));
    table.append(...bodies.map(([, body]) => body));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      header.querySelector("button")?.addEventListener("click", () => sort(table, header));
    }
  }

  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    const output = document.querySelector(`[data-counts="${table.id}"]`);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/);
      const bodies = [...table.tBodies];
      for (const body of bodies) {
        const text = body.rows[0].textContent.toLowerCase();
        body.hidden = !words.every((word) => text.includes(word));
      }
      output.value = `${bodies.filter((body) => !body.hidden).length} of ${bodies.length} ${output.dataset.things}`;
    };
    input.addEventListener("input", apply);
    apply();
  }

  for (const button of document.querySelectorAll("button.more")) {
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      document.getElementById(button.getAttribute("aria-controls")).hidden = open;
    });
  }

  // ---------------------------------------------------------------- charts

  const draw = (place, chart) => {
    if (!window.vegaEmbed) {
      place.textContent = "reports/vega.js is missing: `dvc repro vega` writes it. The pictures under Figures show the same.";
      return;
    }
    const narrow = place.clientWidth < 600 ? { axisY: { labelLimit: 0.4 * place.clientWidth } } : {};
    const theme = dark.matches ? "dark" : "light";
    vegaEmbed(place, structuredClone(chart), { renderer: "svg", actions: false, tooltip: { theme }, config: narrow });
  };

  const curveControls = document.getElementById("curve-controls");

  const chosenCurves = () => {
    const { quantity, training, validation } = curveControls.elements;
    const parts = [["validation", `val_${quantity.value}`, 2.2], ["training", quantity.value, 1]];
    const shown = parts.filter(([part]) => (part === "training" ? training : validation).checked);
    const names = [...curveControls.querySelectorAll("[name=experiment]:checked")].map((box) => box.value);
    return names.flatMap((name) => shown.map(([part, key, width]) => ({ name, part, width, key })));
  };

  const drawCurves = () => {
    const logarithmic = curveControls.elements.logarithmic.checked;
    const lines = [], epochs = new Map(), chosen = chosenCurves();
    const both = new Set(chosen.map(({ part }) => part)).size > 1;
    for (const { name, part, width, key } of chosen) {
      const { colour, dash, curves, epochs: steps } = facts.curves[name];
      (curves[key] ?? []).forEach((value, index) => {
        if (logarithmic && value <= 0) return;
        const epoch = steps[index];
        lines.push({ curve: name, part, width, colour, dash, epoch, value });
        epochs.set(epoch, { ...(epochs.get(epoch) ?? { epoch }), [both ? `${name}, ${part}` : name]: value });
      });
    }
    const chart = structuredClone(facts.charts.curves);
    const y = chart.layer[0].encoding.y;
    y.title = curveControls.elements.quantity.value;
    y.scale = logarithmic ? { type: "log" } : { zero: false };
    chart.datasets = { lines, epochs: [...epochs.values()] };
    draw(document.getElementById("curve-chart"), chart);
  };

  const drawCharts = () => {
    for (const place of document.querySelectorAll("[data-chart]")) draw(place, facts.charts[place.dataset.chart]);
    if (curveControls) drawCurves();
    const key = document.getElementById("key");
    if (key) draw(document.getElementById("key-chart"), facts.charts[key.value]);
  };

  curveControls?.addEventListener("input", drawCurves);
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.addEventListener("click", () => {
      for (const box of curveControls.querySelectorAll("[name=experiment]")) box.checked = button.dataset.choose === "all";
      drawCurves();
    });
  }
  document.getElementById("key")?.addEventListener("input", drawCharts);
  dark.addEventListener("change", drawCharts);
  document.addEventListener("DOMContentLoaded", drawCharts);

  // ---------------------------------------------------------------- confusion matrix

  const matrix = document.getElementById("confusion-matrix");
  const confusionControls = document.getElementById("confusion-controls");

  const thumbnail = ({ place }, text) => {
    const { uri, width, height } = facts.sprite, zoom = Math.max(1, Math.round(64 / width));
    const made = element("span", { className: "thumbnail" });
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", text);
    Object.assign(made.style, {
      width: `${zoom * width + 2}px`, height: `${zoom * height + 2}px`, backgroundImage: `url(${uri})`,
      backgroundSize: `auto ${zoom * height}px`, backgroundPosition: `${-zoom * width * place}px 0`,
    });
    return made;
  };

  const showMistakes = (button, truth, guess, count) => {
    for (const other of matrix.querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    const examples = facts.mistakes[`${truth},${guess}`] ?? [];
    const words = `${facts.classes[truth]} taken for ${facts.classes[guess]}`;
    const items = examples.map((example) => {
      const share = `${(100 * example.share).toFixed(0)} %`;
      const picture = facts.sprite ? [thumbnail(example, `Test example ${example.row}: ${words}`)] : [];
      return element("li", {}, ...picture, `test example ${example.row}: ${share}`);
    });
    const heading = element("h3", { textContent: `${words}: ${count}, of them ${examples.length} shown` });
    document.getElementById("mistakes").replaceChildren(heading, element("ul", { className: "examples" }, ...items));
  };

  const matrixCell = (count, total, truth, guess, name, shares) => {
    const share = count / Math.max(total, 1);
    const text = shares ? `${(100 * share).toFixed(1)} %` : count.toLocaleString("en");
    const cell = element("td", { className: share > 0.78 ? "dark" : "" });
    cell.style.setProperty("--share", share.toFixed(3));
    if (name !== facts.chosen || !facts.mistakes[`${truth},${guess}`]) {
      cell.textContent = text;
      return cell;
    }
    const button = element("button", { type: "button", textContent: text });
    button.setAttribute("aria-label", `${text}: ${facts.classes[truth]} taken for ${facts.classes[guess]}, show examples`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => showMistakes(button, truth, guess, count));
    cell.append(button);
    return cell;
  };

  const drawMatrix = () => {
    const { experiment, cells } = confusionControls.elements;
    const name = experiment.value, shares = cells.value === "shares", counts = facts.confusions[name];
    const long = facts.classes.some((text) => text.length > 3) ? "long" : "";
    const heads = facts.classes.map((text) => element("th", { scope: "col", className: long, textContent: text }));
    const body = counts.map((row, truth) => {
      const total = row.reduce((sum, count) => sum + count, 0);
      const made = row.map((count, guess) => matrixCell(count, total, truth, guess, name, shares));
      return element("tr", {}, element("th", { scope: "row", textContent: facts.classes[truth] }), ...made);
    });
    const corner = element("th", { scope: "col", textContent: "true ╲ predicted" });
    matrix.replaceChildren(
      element("caption", { textContent: `${name} on the test examples: a row is a true class, a column a predicted one` }),
      element("thead", {}, element("tr", {}, corner, ...heads)),
      element("tbody", {}, ...body),
    );
    document.getElementById("mistakes").replaceChildren();
  };

  if (matrix) {
    confusionControls.addEventListener("input", drawMatrix);
    drawMatrix();
  }
})();
