#!/usr/bin/env python3
"""Checks a page of `orthant report` against the runs it shows.

report_page.py [--browser PROGRAM] PAGE RUN_DIR...
Without a browser: the page stands alone, its numbers are the runs', its elements are sound. With one: the page's script
runs without an error and does what it is for.
"""
import html.parser
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

VOID = {"meta", "line", "rect", "circle", "path", "input", "br", "img", "link"}


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.facts, self.tables, self.urls = [], [], [], {}, []
        self.unlabelled, self.headings, self.data, self.titles, self.boxes = [], [], [], "", set()
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag not in VOID:
            self.open.append((tag, a.get("id")))
        if "id" in a:
            self.ids.append(a["id"])
        if tag == "dd" and "data-key" in a:
            self.facts[-1][a["data-key"]] = a["data-value"]
        if tag == "div" and "overview" in a.get("class", ""):
            self.facts.append({})
        self.urls += [a[k] for k in ("src", "href") if k in a and not a[k].startswith("#")]
        if tag == "svg" and "aria-label" not in a and a.get("aria-hidden") != "true":
            self.unlabelled.append(a)
        if a.get("role") == "group" and a.get("tabindex") == "0":  # the keyboard reaches it
            self.boxes.add(a.get("aria-label"))
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "tr":
            self.row = []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        name, _ = self.open.pop()
        assert name == tag, f"</{tag}> closes <{name}>"
        if tag == "tr":
            figure = next((i for n, i in reversed(self.open) if n == "figure" and i), None)
            self.tables.setdefault(figure, []).append(self.row)

    def handle_data(self, text):
        if self.open and self.open[-1][0] in ("td", "th"):
            self.row.append(text)
        if self.open and self.open[-1][0] == "script" and text.lstrip().startswith("{"):
            figure = next((i for n, i in reversed(self.open) if n == "figure" and i), None)
            self.data.append((figure, json.loads(text)))


CURVES = {"loss": "loss", "validation": "val_loss", "gradient-norm": "grad_norm", "learning-rate": "lr",
          "tokens": "tps", "mfu": "mfu", "memory": "mem_peak_bytes"}


def metrics_of(folder):
    with open(folder + "/metrics.jsonl") as lines:
        return [json.loads(line) for line in lines]


def check_still(path, folders):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    page = Page(text)
    assert not page.urls and "http://" not in text and "https://" not in text, f"loads {page.urls}"
    assert len(page.ids) == len(set(page.ids)), sorted(i for i in page.ids if page.ids.count(i) > 1)
    assert not page.unlabelled, page.unlabelled
    assert page.headings[0] == 1 and all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:])), page.headings
    assert len(page.facts) == len(folders)
    runs = [metrics_of(folder) for folder in folders]
    for facts, lines in zip(page.facts, runs):
        assert float(facts["step"]) == lines[-1]["step"], facts
        assert float(facts["loss"]) == lines[-1]["loss"], facts
        evaluated = [line["val_loss"] for line in lines if "val_loss" in line]
        assert float(facts["val_loss"]) == evaluated[-1] and float(facts["best_val_loss"]) == min(evaluated), facts
        assert float(facts["mem_peak_bytes"]) == lines[-1]["mem_peak_bytes"], facts
        warm_up = min(10, max(1, len(lines) // 5)) if len(lines) > 1 else 0
        middle = statistics.median(line["dt"] for line in lines[warm_up:])
        assert float(facts["dt"]) == middle, (facts, middle)
    data = dict(page.data)
    boxes = {"Configuration", "Starts"} | ({"Differences"} if len(folders) > 1 else set())
    assert boxes <= page.boxes, page.boxes
    for name, key in CURVES.items():
        table = page.tables["curve-" + name]
        drawn = data["curve-" + name]["series"]
        for column, lines in enumerate(runs):
            wanted = {line["step"]: line[key] for line in lines if key in line}
            shown = {float(row[0]): float(row[column + 1]) for row in table[1:] if len(row) > column + 1 and row[column + 1]}
            assert shown == wanted, (name, shown, wanted)
            assert dict(zip(drawn[column]["x"], drawn[column]["y"])) == wanted, name


# Plays a user: what it finds stands in the page's attribute data-played.
PLAY = """
<script>
window.addEventListener("load", () => {
  const found = {};
  const key = (element, name) => element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const shown = (element) => getComputedStyle(element).display !== "none";
  const loss = document.getElementById("curve-loss");
  const canvas = loss.querySelector(".canvas");
  key(canvas, "End");
  found.last = loss.querySelector(".readout").textContent;
  key(canvas, "Home");
  key(canvas, "ArrowRight");
  found.second = loss.querySelector(".readout").textContent;
  const box = canvas.querySelector("svg").getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 2, clientY: box.top + 20 }));
  found.pointed = loss.querySelector(".readout").textContent;
  found.linear = [shown(loss.querySelector(".linear")), shown(loss.querySelector(".log"))];
  document.getElementById("log-scale").click();
  found.logarithmic = [shown(loss.querySelector(".linear")), shown(loss.querySelector(".log"))];
  const toggle = document.querySelector("button.toggle");
  toggle.click();
  found.hidden = [toggle.getAttribute("aria-pressed"), shown(loss.querySelector(".log .run0")), shown(loss.querySelector(".log .run1"))];
  key(canvas, "End");
  found.without = loss.querySelector(".readout").textContent;
  found.legend = shown(document.querySelector(".instead-of-toggles"));
  found.faint = getComputedStyle(toggle).opacity;
  toggle.click();
  const folded = document.querySelector("details.printed");
  window.dispatchEvent(new Event("beforeprint"));
  found.printed = [folded.open];
  window.dispatchEvent(new Event("afterprint"));
  found.printed.push(folded.open);
  const rank = document.querySelector('.mesh .rank[data-rank="5"]');
  rank.focus();
  found.groups = rank.closest(".mesh").querySelector(".rank-info").textContent;
  found.marked = [...rank.closest(".mesh").querySelectorAll(".rank")].map((r) => [r.dataset.rank, r.className]).filter((r) => r[1] !== "rank");
  key(rank, "ArrowRight");
  found.focused = document.activeElement.dataset.rank;
  const filter = document.querySelector("input.filter");
  filter.value = "parallel.tensor";
  filter.dispatchEvent(new Event("input"));
  found.keys = [...document.getElementById(filter.getAttribute("aria-controls")).querySelectorAll("tbody tr")].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
  const before = getComputedStyle(document.body).backgroundColor;
  document.getElementById("theme").click();
  found.theme = before !== getComputedStyle(document.body).backgroundColor;
  found.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.documentElement.dataset.played = JSON.stringify(found);
});
</script>
"""


# What `script` found out on the page.
def play(browser, path, script):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as scratch:
        played = os.path.join(scratch, "played.html")
        with open(played, "w", encoding="utf-8") as file:
            file.write(text.replace("</body>", script + "</body>"))
        command = [browser, "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
                   "--user-data-dir=" + scratch + "/profile", "--window-size=390,844", "--virtual-time-budget=3000", "--dump-dom"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        result = subprocess.run(command + ["file://" + played], capture_output=True, text=True, timeout=200, check=True)
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
    assert 'data-script="ready"' in result.stdout, "the page's script did not come to its end"
    match = re.search(r'data-played="([^"]*)"', result.stdout)
    assert match, "the play did not come to its end"
    return json.loads(match.group(1).replace("&quot;", '"').replace("&amp;", "&"))


def check_in_browser(browser, path, folders):
    found = play(browser, path, PLAY)
    runs = [metrics_of(folder) for folder in folders]
    values = lambda text: [float(v) for v in re.findall(r" ([0-9.]+)(?:,|$)", text)]
    close = lambda got, wanted: len(got) == len(wanted) and all(abs(g - w) <= 1e-5 * abs(w) for g, w in zip(got, wanted))
    last = [lines[-1]["loss"] for lines in runs]
    assert found["last"].startswith(f"step {runs[0][-1]['step']}: ") and close(values(found["last"]), last), found
    assert found["pointed"] == found["last"], found
    assert found["second"].startswith("step 2: ") and close(values(found["second"]), [lines[1]["loss"] for lines in runs]), found
    assert found["linear"] == [True, False] and found["logarithmic"] == [False, True], found
    assert found["hidden"] == ["false", False, True] and close(values(found["without"]), last[1:]), found
    assert "rank 5" in found["groups"] and "tensor group: 4, 5" in found["groups"], found
    assert "data group: 5, 7" in found["groups"] and "pipeline group: 1, 5" in found["groups"], found
    assert sorted(found["marked"]) == [["1", "rank in-pipeline"], ["4", "rank in-tensor"], ["5", "rank here"], ["7", "rank in-data"]], found
    assert found["focused"] == "6", found
    assert found["keys"] == ["parallel.tensor", "parallel.tensor_sequence"], found
    assert found["theme"], found
    assert found["printed"] == [True, False], found
    assert not found["legend"] and found["faint"] == "1", found
    assert found["wide"] <= 0, f"the page is {found['wide']} pixels wider than a phone's screen"


# What the page looks like to paper after "Light or dark", and where no script runs.
STYLE = """
<script>
window.addEventListener("load", () => {
  const root = document.documentElement;
  const shown = (selector) => getComputedStyle(document.querySelector(selector)).display !== "none";
  delete root.dataset.script;
  const without = [shown("button.toggle"), shown(".instead-of-toggles")];
  root.dataset.script = "ready";
  root.dataset.theme = "dark";
  for (const sheet of document.styleSheets) {
    for (const rule of sheet.cssRules) {
      if (rule.media && rule.media.mediaText === "print") rule.media.mediaText = "all";
    }
  }
  const style = getComputedStyle(root);
  const value = (name) => style.getPropertyValue(name).trim();
  const found = { without, card: value("--card"), ink: value("--ink"), warn: value("--warn"), legend: shown(".instead-of-toggles"), configuration: shown("details.printed") };
  root.dataset.played = JSON.stringify(found);
});
</script>
"""


def check_paper(browser, path):
    found = play(browser, path, STYLE)
    assert found["card"] == "#ffffff" and found["ink"] == "#000000" and found["warn"] == "#8a4b00", found
    assert found["legend"] and found["configuration"], found
    assert found["without"] == [False, True], found


if __name__ == "__main__":
    if sys.argv[1] == "--browser":
        check_in_browser(sys.argv[2], sys.argv[3], sys.argv[4:])
        check_paper(sys.argv[2], sys.argv[3])
    else:
        check_still(sys.argv[1], sys.argv[2:])
