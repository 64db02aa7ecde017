"""The page in headless Chromium: it opens offline, runs nothing foreign, and answers before the scroll."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from parity.report import html
from parity.report.entries import Entry
from parity.report.suite import write_suite
from tests.parity.report.results import ATTACK, digits, run
from tests.parity.report.test_reports import RESULTS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH; on Debian: apt-get install chromium")
SCREEN = {"width": 1280, "height": 800}
DRAWN = 60_000  # milliseconds; a machine may be busy


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Opened:
    """A page that is open, and everything it complained of or asked the network for."""

    def __init__(self, browser, path: Path, **options) -> None:
        self.tab = browser.new_context(viewport=SCREEN, **options).new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(path.as_uri())

    def drawn(self) -> Opened:
        self.tab.wait_for_selector("html[data-drawn=yes]", state="attached", timeout=DRAWN)
        return self

    def bottom(self, selector: str) -> float:
        box = self.tab.locator(selector).first.bounding_box()
        assert box is not None, selector
        return box["y"] + box["height"]


@pytest.fixture
def show(browser, tmp_path):
    opened = []

    def show(result, **options) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(html.page(result), encoding="utf-8")
        opened.append(Opened(browser, path, **options))
        return opened[-1]

    yield show
    for one in opened:
        one.tab.context.close()


@pytest.fixture(scope="module")
def half():
    return digits(candidate="scratch[l2.penalty=half]")


@pytest.mark.parametrize("name", RESULTS)
def test_every_kind_of_result_is_drawn_without_complaint_or_network(name, request, show, tmp_path):
    result = request.getfixturevalue(name)
    opened = show(result).drawn()
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
    assert opened.tab.locator("#losses svg.main-svg").count()
    assert opened.tab.locator("h1").inner_text().startswith(str(result.verdict))
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"]


def test_the_answer_is_on_the_first_screen(half, show):
    opened = show(half)
    for selector in (
        "#verdict",
        ".where",
        ".formula.reference",
        ".formula.candidate",
        ".fix >> nth=1",
        ".next .command",
    ):
        assert opened.bottom(selector) <= SCREEN["height"], selector
    cause = opened.tab.locator(".cause").first.inner_text()
    told = ["lam * sum(W**2)", "lam / 2 * sum(W**2)", "keras.regularizers.L2(lam / 2)", "penalty = lam * np.sum(W**2)"]
    assert [words for words in told if words not in cause] == []


def test_no_script_comes_in_by_a_name(sides, show):
    result = run(
        name=ATTACK, reference=f"{sides}:Hostile", candidate=f"{sides}:Hostile", command=shlex.join(["parity", ATTACK])
    )
    opened = show(result).drawn()
    opened.tab.mouse.move(640, 400)
    assert opened.tab.evaluate("window.hit") is None
    assert opened.tab.locator("img").count() == 0
    assert opened.complaints == []
    assert opened.tab.title().endswith(ATTACK)
    opened.tab.fill("#search", "window.hit")
    assert f"dense/{ATTACK}" in opened.tab.locator("#rows").inner_text()


def test_the_page_refuses_scripts_and_connections_that_are_not_its_own(equal, show):
    opened = show(equal).drawn()
    opened.tab.evaluate(
        "() => { const own = document.createElement('script');"
        "        own.textContent = 'window.hit = 1'; document.body.append(own); }"
    )
    assert opened.tab.evaluate("window.hit") is None
    assert opened.tab.evaluate("fetch('https://example.com').then(() => 'connected', () => 'refused')") == "refused"


def test_the_table_of_every_step_is_searched(half, show):
    opened = show(half).drawn()
    rows = opened.tab.locator("#rows tr")
    opened.tab.fill("#search", "step 2 dense/kernel")
    told = [re.split(r"\t", text) for text in rows.all_inner_texts()]
    assert {cells[0] for cells in told} == {"2"}
    assert all("dense/kernel" in cells[2] for cells in told)
    assert len(told) == 7  # the penalty, the gradient and its two parts, the weight and its two slots
    opened.tab.fill("#search", "")
    opened.tab.check("#only")
    assert rows.count() == 15
    assert all("▲" in text for text in rows.all_inner_texts())
    opened.tab.fill("#search", "nothing of that name")
    assert rows.count() == 0
    assert opened.tab.locator("#count").inner_text().startswith("0 of 0 rows")


def test_the_other_precision_is_one_click_away(half, show):
    opened = show(half).drawn()
    assert "float64" in opened.tab.locator("#budget-note").inner_text()
    opened.tab.get_by_role("button", name="float32").click()
    opened.tab.wait_for_function("document.getElementById('budget-note').textContent.includes('float32')")
    assert opened.tab.locator("#count").inner_text().endswith("float32")
    assert opened.complaints == []


def test_values_are_shown_on_hover(half, show):
    opened = show(half).drawn()
    opened.tab.locator("#budget").scroll_into_view_if_needed()
    box = opened.tab.locator("#budget .nsewdrag").first.bounding_box()
    opened.tab.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 3)
    told = opened.tab.locator("#budget .hovertext").text_content(timeout=10_000)
    assert "batch, x" in told
    assert "equal" in told


CONTRAST = """
() => {
  const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
  };
  const said = [];
  const told = "p, h1, h2, h3, dt, dd, code, th, td, a, button, small, summary, label";
  for (const node of document.querySelectorAll(told)) {
    const text = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!text || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), [a, b] = [light(numbers(style.color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) * Number(style.opacity);
    const name = `${node.tagName} ${node.className} ${node.textContent.trim().slice(0, 40)}`;
    if (ratio < 4.5) said.push(`${name}: ${ratio.toFixed(2)}`);
  }
  return said;
}
"""


@pytest.mark.parametrize("name", ["diverged", "equal", "unjudged"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(name, scheme, request, show):
    """WCAG 2.1, 1.4.3: a contrast of 4.5 at least."""
    opened = show(request.getfixturevalue(name), color_scheme=scheme)
    assert opened.tab.evaluate(CONTRAST) == []


def test_light_and_dark_follow_the_system_and_the_switch(equal, show):
    def ground() -> str:
        return opened.tab.evaluate("getComputedStyle(document.body).backgroundColor")

    opened = show(equal, color_scheme="dark")
    assert ground() == "rgb(19, 22, 26)"
    opened.tab.click("#theme")
    assert ground() == "rgb(251, 250, 248)"
    opened.tab.emulate_media(media="print")
    assert ground() == "rgb(255, 255, 255)"


def test_it_prints(half, show):
    opened = show(half, color_scheme="dark").drawn()
    wide = opened.tab.locator("#budget .main-svg").first
    before = wide.bounding_box()["width"]
    opened.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert wide.bounding_box()["width"] <= 640 < before
    opened.tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert wide.bounding_box()["width"] == pytest.approx(before, abs=1)
    assert opened.tab.pdf(print_background=True).startswith(b"%PDF")
    opened.tab.emulate_media(media="print")
    assert not opened.tab.locator("#search").is_visible()
    assert opened.tab.evaluate("getComputedStyle(document.querySelector('.place')).color") == "rgb(0, 0, 0)"


def test_a_narrow_window_scrolls_one_way_only(half, browser, show):
    opened = show(half).drawn()
    opened.tab.set_viewport_size({"width": 390, "height": 844})
    opened.tab.wait_for_timeout(300)
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_suite_leads_to_each_result_and_back(equal, diverged, browser, tmp_path):
    index = write_suite([Entry("good", equal), Entry(ATTACK, diverged)], tmp_path)
    opened = Opened(browser, index)
    assert opened.complaints == []
    opened.tab.get_by_role("link", name="good").click()
    opened.drawn()
    assert opened.tab.locator("h1").inner_text().startswith("PARITY")
    opened.tab.get_by_role("link", name="All results").click()
    assert "1 of 2" in opened.tab.locator("h1").inner_text()
    assert opened.tab.evaluate("window.hit") is None
    opened.tab.context.close()


@pytest.mark.parametrize("steps", [1_000, 10_000])
def test_a_long_run_opens_in_three_seconds_and_stays_below_8_mb(steps, show, tmp_path):
    result = digits(steps=steps) if steps == 1_000 else run(epochs=None, steps=steps, precision="float64")
    opened = show(result)
    opened.tab.wait_for_load_state("load")
    assert opened.tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 3000
    assert (tmp_path / "report.html").stat().st_size < 8e6
    opened.drawn()
    note = opened.tab.locator("#columns-note").inner_text()
    assert bool(note) is (steps == 10_000)
    assert opened.complaints == []


CUT = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => {
  const frame = plot.getBoundingClientRect();
  const outside = (box, of) => box.left < of.left - 1 || box.right > of.right + 1;
  const labels = [...plot.querySelectorAll('.main-svg text')].filter(text => text.textContent.trim()
    && outside(text.getBoundingClientRect(), frame));
  const notes = [...plot.querySelectorAll('.annotation')].filter(note => note.querySelector('.bg')
    && outside(note.querySelector('.annotation-text').getBoundingClientRect(),
               note.querySelector('.bg').getBoundingClientRect()));
  const names = [...plot.querySelectorAll('.legendtext')].map(name => name.getBoundingClientRect());
  const over = names.filter(a => names.some(b => a !== b
    && Math.abs(a.top - b.top) < 3 && a.left < b.left && a.right > b.left));
  return [...labels, ...notes].map(found => found.textContent).concat(over.map(() => 'legend'));
})"""


def test_no_label_is_cut_and_none_runs_into_another(half, show):
    opened = show(half).drawn()
    assert opened.tab.evaluate("document.querySelectorAll('.js-plotly-plot').length") > 3
    assert opened.tab.evaluate(CUT) == []
