// Hover and arrow keys on plots, runs on and off, the logarithmic scale, groups of ranks, the filter of keys, the
// theme. The page says all of it without this script too, in tables.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";

  // ---- values as people read them
  const bytes = (v) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    for (; Math.abs(v) >= 1024 && i < units.length - 1; ++i) v /= 1024;
    return `${+v.toPrecision(4)} ${units[i]}`;
  };
  const seconds = (v) => {
    const [unit, factor] = v < 1e-3 ? ["us", 1e6] : v < 1 ? ["ms", 1e3] : v < 120 ? ["s", 1] : v < 7200 ? ["min", 1 / 60] : ["h", 1 / 3600];
    return v === 0 ? "0 s" : `${+(v * factor).toPrecision(4)} ${unit}`;
  };
  const show = (v, quantity) => {
    if (v === null || v === undefined) return "-";
    if (quantity === "bytes") return bytes(v);
    if (quantity === "seconds") return seconds(v);
    if (quantity === "share") return `${+(100 * v).toPrecision(4)}%`;
    return String(+v.toPrecision(6));
  };

  // ---- plots: a cursor that follows the pointer, or the arrow keys
  const nearest = (x, at) => {
    let low = 0, high = x.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] < at) low = middle + 1; else high = middle;
    }
    return low > 0 && at - x[low - 1] <= x[low] - at ? low - 1 : low;
  };
  for (const figure of all("figure.chart")) {
    const canvas = figure.querySelector(".canvas");
    const readout = figure.querySelector(".readout");
    const data = JSON.parse(figure.querySelector("script").textContent);
    const svg = canvas.querySelector("svg");
    const cursor = svg.querySelector(".cursor");
    const [left, right] = data.area;
    const [low, high] = data.span;
    const steps = [...new Set(data.series.flatMap((s) => s.x))].sort((a, b) => a - b);
    let place = -1;
    const point = (index) => {
      if (steps.length === 0) return;
      place = Math.max(0, Math.min(steps.length - 1, index));
      const step = steps[place];
      const x = left + (step - low) / (high - low) * (right - left);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.style.visibility = "visible";
      const hidden = (s) => figure.closest(".curves") && document.body.classList.contains(`hide${s.colour}`);
      const parts = data.series.filter((s) => !hidden(s) && s.x.length > 0).map((s) => {
        const i = nearest(s.x, step);
        const name = data.series.length > 1 ? `${s.name} ` : "";
        return s.x[i] === step ? `${name}${show(s.y[i], data.quantity)}` : null;
      });
      readout.textContent = `${data.x} ${step}: ${parts.filter((p) => p !== null).join(", ")}`;
    };
    const leave = () => {
      cursor.style.visibility = "hidden";
      readout.textContent = "";
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      point(nearest(steps, low + (x - left) / (right - left) * (high - low)));
    });
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => {
      const leap = Math.max(1, Math.round(steps.length / 20));
      const to = { ArrowLeft: place - 1, ArrowRight: place + 1, PageUp: place - leap, PageDown: place + leap,
        Home: 0, End: steps.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      point(to);
    });
  }

  // ---- runs on and off, scales, theme
  for (const button of all("button.toggle")) {
    button.addEventListener("click", () => {
      const on = !pressed(button);
      press(button, on);
      document.body.classList.toggle(`hide${button.dataset.run}`, !on);
    });
  }
  const log = document.getElementById("log-scale");
  if (log) {
    log.addEventListener("click", () => {
      press(log, !pressed(log));
      document.body.classList.toggle("show-log", pressed(log));
    });
  }
  const theme = document.getElementById("theme");
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // ---- the mesh: a rank's groups, on hover, on focus, by arrow keys
  const axes = ["data", "tensor", "pipeline", "sequence"];
  for (const mesh of all(".mesh")) {
    const ranks = all(".rank", mesh);
    const info = mesh.querySelector(".rank-info");
    const at = (rank) => rank.dataset.at.split(" ").map(Number);
    const clear = () => ranks.forEach((rank) => {
      rank.classList.remove("here", ...axes.map((axis) => `in-${axis}`));
      all("i", rank).forEach((mark) => mark.remove());
    });
    const choose = (rank) => {
      clear();
      rank.classList.add("here");
      const mine = at(rank);
      const words = axes.map((axis, a) => {
        const group = ranks.filter((other) => at(other).every((c, b) => b === a || c === mine[b]));
        if (group.length < 2) return null;
        group.filter((other) => other !== rank).forEach((other) => {
          other.classList.add(`in-${axis}`);
          const mark = other.appendChild(document.createElement("i"));
          mark.textContent = axis[0].toUpperCase();
        });
        return `${axis} group: ${group.map((other) => other.dataset.rank).join(", ")}`;
      });
      const host = rank.closest(".host").querySelector("h4").textContent;
      info.textContent = [`rank ${rank.dataset.rank} on ${host}`, ...words.filter((w) => w !== null)].join("; ");
    };
    ranks.forEach((rank, i) => {
      rank.tabIndex = i === 0 ? 0 : -1;
      rank.addEventListener("pointerenter", () => choose(rank));
      rank.addEventListener("focus", () => {
        ranks.forEach((other) => { other.tabIndex = other === rank ? 0 : -1; });
        choose(rank);
      });
      rank.addEventListener("keydown", (event) => {
        const to = { ArrowLeft: i - 1, ArrowUp: i - 1, ArrowRight: i + 1, ArrowDown: i + 1, Home: 0, End: ranks.length - 1 }[event.key];
        if (to === undefined || !ranks[to]) return;
        event.preventDefault();
        ranks[to].focus();
      });
    });
  }

  // ---- on paper the configuration is unfolded; older browsers do not do that for a style
  addEventListener("beforeprint", () => all("details.printed:not([open])").forEach((details) => {
    details.open = details.dataset.folded = true;
  }));
  addEventListener("afterprint", () => all("details.printed[data-folded]").forEach((details) => {
    details.open = false;
    delete details.dataset.folded;
  }));

  // ---- keys of the configuration
  for (const filter of all("input.filter")) {
    const rows = all("tbody tr", document.getElementById(filter.getAttribute("aria-controls")));
    const only = filter.parentElement.parentElement.querySelector("input.only-set");
    const apply = () => rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !text.includes(filter.value.toLowerCase()) || (only.checked && !row.classList.contains("set"));
    });
    filter.addEventListener("input", apply);
    only.addEventListener("change", apply);
  }

  root.dataset.script = "ready";
})();
