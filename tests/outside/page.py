"""Opens the page of a report, of a step or of a program, in headless Chromium, from disk: no error, the
right extremes of the map, tooltips, filter and sorting, and nothing that is cut off, at 1280 and at 390
pixels."""

import itertools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import websocket

page, report = pathlib.Path(sys.argv[1]).resolve(), json.loads(pathlib.Path(sys.argv[2]).read_text())
program = "kernels" not in report
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
]  # fmt: skip


class Browser:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={folder}", "about:blank"], stderr=subprocess.PIPE, text=True
        )
        line = next(l for l in self.process.stderr if "DevTools listening on" in l)
        self.socket = websocket.create_connection(line.split()[-1], timeout=60)
        self.numbers, self.events, self.session = itertools.count(1), [], None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Runtime", "Log", "Page", "Network"]:
            self(f"{domain}.enable")

    def __call__(self, method, **params):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def js(self, text):
        result = self("Runtime.evaluate", expression=text, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, width):
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 800)
        self("Page.navigate", url=page.as_uri())
        while self.js("document.readyState + (document.querySelector('#count')?.textContent ?? '')")[:8] != "complete":
            pass

    def point(self, selector, x, y):
        box = self.js(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.left, b.top, b.width, b.height]; }})(document.querySelector('{selector}'))"
        )
        at = {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}
        self("Input.dispatchMouseEvent", type="mouseMoved", **at)
        return at

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()


def layout(browser, width):
    assert browser.js("document.documentElement.scrollWidth") <= width, "the page is wider than the window"
    small = browser.js(
        "[...document.querySelectorAll('body *')].filter(e => e.children.length === 0 && e.textContent.trim()"
        " && !['SCRIPT', 'STYLE'].includes(e.tagName) && e.getClientRects().length)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)"
        " * (e.ownerSVGElement ? e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width : 1))"
        ".reduce((a, b) => Math.min(a, b), 99)"
    )
    assert small >= 9, f"text of {small} pixels"
    cut = browser.js(
        "[...document.querySelectorAll('h1, h2, p, li, button, .cards b')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline')"
        ".map(e => e.textContent)"
    )
    assert cut == [], cut


def heat(browser):
    """The map's extremes are those of the numbers that the page was made of, and what it draws."""
    layers = browser.js("[...document.querySelectorAll('#layers button')].map(b => b.textContent)")
    assert layers == ["compute", "wait", "back-pressure", "idle", "link-north", "link-east", "link-south", "link-west", "ramp"]
    columns, rows = browser.js("data.mesh")
    pes, counted = columns * rows, [report] if program else report["kernels"]
    cycles = report["cycles"] if program else report["step"]["cycles"]
    sums = {part: sum(k["pe_cycles"][part] for k in counted) for part in ["compute", "wait", "back_pressure"]}
    for i, layer in enumerate(layers):
        browser.js(f"document.querySelectorAll('#layers button')[{i}].click()")
        low, high = [float(browser.js(f"heat.dataset.{end}")) for end in ["min", "max"]]
        cells = [c for c in browser.js("[...Array(layer.cells.length).keys()].map(i => share(layer, i))") if c is not None]
        assert 0 <= low <= high <= 1, layer
        assert not cells or max(abs(min(cells) - low), abs(max(cells) - high)) < 1e-12, layer
        part = layer.replace("-", "_")
        if part in sums and len(cells) == pes:
            mean, reported = sum(cells) / len(cells), sums[part] / (cycles * pes)
            assert abs(mean - reported) < 1e-4, f"{layer}: {mean}, reported {reported}"
        shown = browser.js("[low.textContent, high.textContent]")
        for text, share in zip(shown, [low, high]):
            assert abs(float(text.rstrip(" %")) - 100 * share) <= 0.051, (layer, text, share)
        ends = browser.js(
            "[1, layer.steps + 1].map(end => { const i = layer.cells.indexOf(end);"
            " const d = heat.getContext('2d').getImageData(i % heat.width, Math.floor(i / heat.width), 1, 1).data;"
            " return [d[0], d[1], d[2]]; })"
        )
        if cells and low < high:
            assert ends == [[68, 1, 84], [253, 231, 37]], f"{layer} is drawn from {ends}"
        if i > 3 and not program:
            colors(browser, layer)
    browser.js("document.querySelectorAll('#layers button')[0].click()")
    assert browser.js("choice.parentElement.hidden"), "the color of a PE's cycles"


def colors(browser, layer):
    """What the colors carry adds up to what all carry, and is what the report says of each."""
    port = layer.removeprefix("link-")
    reported = {f"c{l['color']}": l["greatest_load"] for l in report["links"] if l["port"] == port}
    assert browser.js("[...choice.options].map(o => o.value)") == ["all colors", *reported]
    shares = "[...Array(data.cells[0] * data.cells[1]).keys()].map(i => share(layer, i) ?? 0)"
    all_colors, added = browser.js(shares), 0
    for color, load in reported.items():
        browser.js(f"choice.value = '{color}'; choice.dispatchEvent(new Event('input'))")
        assert browser.js("[layer.name, Number(heat.dataset.max)]") == [f"{layer}-{color}", load]
        assert color in browser.js("about.textContent")
        added = [a + b for a, b in zip(browser.js(shares), added or itertools.repeat(0))]
    assert all(abs(a - b) <= 0.004 * sum(reported.values()) for a, b in zip(all_colors, added)), layer
    browser.js("choice.value = 'all colors'; choice.dispatchEvent(new Event('input'))")
    assert browser.js("layer.name") == layer
    if reported:
        most = browser.js(f"{shares}.reduce((at, x, i, all) => x > all[at] ? i : at, 0)")
        columns, rows = browser.js("data.cells")
        browser.point("#heat", (most % columns + 0.5) / columns, (most // columns + 0.5) / rows)
        listed = browser.js("tip.textContent").split("\n")[2:]
        assert listed and all(re.fullmatch(r"c\d+: [\d.e-]+ %", line) for line in listed), listed
        assert {line.split(":")[0] for line in listed} <= set(reported)
        browser.point("h1", 0.5, 0.5)


def tooltip(browser):
    assert browser.js("tip.hidden")
    browser.point("#heat", 0.02, 0.02)
    text = browser.js("tip.hidden ? '' : tip.textContent")
    assert re.fullmatch(r"column 0, row 0\ncompute: [\d.]+ %", text), text
    box = browser.js("(b => [b.left, b.top, b.right, b.bottom])(tip.getBoundingClientRect())")
    assert box[0] >= 0 and box[2] <= browser.js("innerWidth"), "the tooltip is cut off"
    browser.point("h1", 0.5, 0.5)
    assert browser.js("tip.hidden")


def table(browser):
    rows = "[...document.querySelectorAll('#kernels tbody tr')]"
    every = browser.js(f"{rows}.length")
    assert every == len({(k["name"], k["phase"]) for k in report["kernels"]})
    browser.js("filter.focus()")
    browser("Input.insertText", text="ATTENTION")
    shown = browser.js(f"{rows}.filter(r => !r.hidden).map(r => r.cells[0].textContent)")
    assert shown and all("attention" in name for name in shown) and len(shown) < every, shown
    assert browser.js("count.textContent") == f"{len(shown)} of {every}"
    browser.js("filter.value = ''; filter.dispatchEvent(new Event('input'))")
    cycles = f"{rows}.map(r => Number(r.cells[3].textContent.replace(/\\s/g, '')))"
    browser.js("document.querySelectorAll('#kernels th')[3].click()")
    assert browser.js(cycles) == sorted(browser.js(cycles), reverse=True)
    browser.js("document.querySelectorAll('#kernels th')[3].click()")
    assert browser.js(cycles) == sorted(browser.js(cycles))


def lists(browser):
    """The tables of a program's page have rows, and the instructions' cycles add up."""
    heads = "[...document.querySelectorAll('h2')].map(h => h.textContent)"
    assert {"The mesh", "Tasks", "Instructions", "Expectations", "Values", "Events"} <= set(browser.js(heads))
    section = "[...document.querySelectorAll('section')].find(s => s.querySelector('h2').textContent === 'Instructions')"
    cycles = browser.js(f"[...{section}.querySelectorAll('tbody tr')].map(r => Number(r.cells[0].textContent.replace(/\\s/g, '')))")
    assert sum(cycles[:-1]) == cycles[-1] == sum(report["pe_cycles"].values()), cycles


def inert(browser):
    assert report["model"]["name"].startswith("</script>")
    assert browser.js("document.querySelector('h1').textContent").startswith(report["model"]["name"])
    assert browser.js("document.title").startswith("</script>") and browser.js("document.images.length") == 0


def main():
    assert page.stat().st_size < 3 << 20
    folder = tempfile.mkdtemp()
    browser = Browser(folder)
    try:
        for width in [1280, 390]:
            browser.open(width)
            layout(browser, width)
            heat(browser)
            tooltip(browser)
            if program:
                lists(browser)
            else:
                table(browser)
                inert(browser)
        said = [e for e in browser.events if e["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")]
        # Chromium advises on the reading of pixels, which only this test does.
        said += [e for e in browser.events if e.get("params", {}).get("entry", {}).get("level") == "error"]
        assert said == [], said
        asked = {e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"}
        assert asked == {page.as_uri()}, f"the page needs nothing else: {asked}"
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)


main()
