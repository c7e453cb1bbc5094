"""The page in a real browser: it is whole, quiet, plays, fits, and can be used by keyboard.

Needs Chromium (Debian: `apt install chromium`). INVERTONE_REQUIRE_BROWSER=1 turns its absence into a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.eval.report.test_job import report as report  # the same page is looked at here

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        if os.environ.get("INVERTONE_REQUIRE_BROWSER") == "1":
            pytest.fail(f"no browser: none of {', '.join(NAMES)} is on the path")
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Any]:
    """The page, with all that it says and asks for; both must stay empty."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(report.as_uri())
    yield page
    assert said == []
    context.close()


def test_every_picture_is_there_and_every_sound_plays(opened: Any) -> None:
    sizes = opened.eval_on_selector_all(
        "img", "all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(sizes) > 20 and min(sizes) > 0
    players = opened.evaluate(
        """async () => {
          const told = [];
          for (const audio of document.querySelectorAll("audio")) {
            audio.muted = true;
            if (audio.readyState < 2) await new Promise((done, fail) => {
              audio.addEventListener("canplay", done); audio.addEventListener("error", () => fail(audio.error.message));
              audio.load();
            });
            told.push([audio.readyState, audio.duration]);
          }
          return told;
        }"""
    )
    assert len(players) > 20
    assert all(state >= 2 and duration == pytest.approx(1.024, abs=0.02) for state, duration in players)


def test_a_sound_goes_on_and_silences_the_one_before(opened: Any) -> None:
    opened.evaluate("document.querySelectorAll('audio').forEach(audio => { audio.muted = true; })")
    playing = "n => { const a = document.querySelectorAll('audio')[n]; return !a.paused && a.currentTime > 0.05; }"
    opened.evaluate("() => { document.querySelectorAll('audio')[0].play(); }")
    opened.wait_for_function(playing, arg=0)
    assert opened.locator(".tile.playing").count() == 1
    opened.locator(".view").nth(3).click(position={"x": 5, "y": 20})
    opened.wait_for_function("() => document.querySelectorAll('audio')[0].paused")
    opened.wait_for_function("() => [...document.querySelectorAll('audio')].some(a => a.currentTime > 0.2)")
    opened.wait_for_function("() => [...document.querySelectorAll('audio')].every(a => a.paused)")
    assert opened.locator(".tile.playing").count() == 0


@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_the_page_never_scrolls_sideways_and_texts_of_charts_stay_inside(opened: Any, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    outside = opened.evaluate(
        """() => [...document.querySelectorAll("svg.chart text")].filter((text) => {
          const box = text.getBoundingClientRect();
          return box.width && (box.left < -1 || box.right > innerWidth + 1);
        }).map((text) => text.textContent)"""
    )
    assert [text for text in outside if "<script>" not in text] == []


def test_axis_labels_do_not_cover_each_other(opened: Any) -> None:
    covered = opened.evaluate(
        """() => [...document.querySelectorAll("svg.chart")].flatMap((chart) => {
          const boxes = [...chart.querySelectorAll("text:not(.here):not(.title)")].map((t) => [t.textContent, t.getBBox()]);
          return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
            p.x < q.x + q.width && q.x < p.x + p.width && p.y + 2 < q.y + q.height && q.y + 2 < p.y + p.height
          ).map(([b]) => `${a} | ${b}`));
        })"""
    )
    assert covered == []


def test_light_and_dark_follow_the_system_until_the_button_is_pressed(opened: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = opened.evaluate(paper)
    button = opened.locator("#theme")
    assert button.inner_text() == "Dark" and button.get_attribute("aria-label") == "Switch to dark colours"
    button.click()
    dark = opened.evaluate(paper)
    assert dark != light and button.inner_text() == "Light"
    opened.emulate_media(color_scheme="dark")
    button.click()
    assert opened.evaluate(paper) == light
    opened.evaluate("delete document.documentElement.dataset.theme")
    assert opened.evaluate(paper) == dark


def test_the_keyboard_reaches_everything_in_order(opened: Any) -> None:
    at = "() => { const e = document.activeElement; return e.id || e.className || e.tagName; }"
    opened.keyboard.press("Tab")
    assert opened.evaluate(at) == "skip"
    assert opened.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    opened.keyboard.press("Enter")
    assert opened.evaluate(at) == "content"
    seen = []
    for _ in range(60):
        opened.keyboard.press("Tab")
        seen.append(opened.evaluate(at))
        if seen[-1] == "AUDIO":
            break
    assert "AUDIO" in seen and "scroll" in seen and "SUMMARY" in seen
    outline = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    opened.keyboard.press("Space")
    opened.wait_for_function("() => document.activeElement.currentTime > 0")


def test_it_prints_light_and_without_players(opened: Any) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.locator("audio").first.is_hidden() and opened.locator("#theme").is_hidden()
    assert len(opened.pdf(prefer_css_page_size=True)) > 10_000
