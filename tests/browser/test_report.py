"""The report in a real browser, opened from disk as a user would."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

CURRENT = "document.querySelector('video').currentTime"


@pytest.fixture
def page(browser, results):
    browser.open(results / "report.html")
    browser.wait_until("document.querySelector('video').readyState >= 2")
    return browser


def test_it_opens_without_errors_and_asks_for_nothing_but_its_video(page, results):
    assert page.complaints() == []
    video = next(results.glob("*/annotated.mp4"))
    assert set(page.requests()) == {(results / "report.html").as_uri(), video.as_uri()}


def test_every_person_has_a_lane_that_is_seen(page):
    boxes = page.evaluate(
        "[...document.querySelectorAll('.seg')].map(s => { const b = s.getBoundingClientRect();"
        " return [b.left, b.right, b.height, s.textContent.trim()]; })"
    )
    assert [box[3] for box in boxes] == ["walk", "wave", "stand", "unknown"]
    assert all(box[2] >= 20 for box in boxes)
    (walk, wave, stand, unknown) = boxes
    scale = walk[1] - walk[0]
    assert wave[1] - wave[0] == pytest.approx(2 * scale, abs=1)
    assert wave[0] == pytest.approx(walk[1], abs=1)
    assert stand[0] == pytest.approx(walk[0] + scale / 2, abs=1)
    assert unknown[1] <= page.evaluate("innerWidth")


def test_a_segment_takes_the_video_to_its_start(page):
    page.click(".lane:nth-of-type(3) .seg:nth-child(2)")
    page.wait_until(f"Math.abs({CURRENT} - 3.0) < 0.02 && document.querySelector('.seg.now').dataset.s === '2.0'")
    lit = page.evaluate("[...document.querySelectorAll('.seg.now')].map(s => s.getAttribute('aria-label'))")
    assert lit == ["Person 1: wave 71 %, 2.0 s to 6.0 s", "Person 2: unknown, 3.0 s to 5.0 s"]
    head, start = page.evaluate(
        "[document.querySelector('.playhead').getBoundingClientRect().left,"
        " document.querySelector('.lane:nth-of-type(3) .seg:nth-child(2)').getBoundingClientRect().left]"
    )
    assert head == pytest.approx(start, abs=2)


def test_the_playhead_follows_the_video(page):
    page.evaluate("document.querySelector('video').play()")
    page.wait_until(f"{CURRENT} > 0.3")
    page.evaluate("document.querySelector('video').pause()")
    lane, head, time_s = page.evaluate(
        "(() => { const b = document.querySelector('.lane .track').getBoundingClientRect();"
        " const h = document.querySelector('.playhead').getBoundingClientRect();"
        f" return [[b.left, b.width], h.left, {CURRENT}]; }})()"
    )
    assert head == pytest.approx(lane[0] + lane[1] * time_s / 6.0, abs=0.05 * lane[1])


def test_the_annotated_video_shows_people_and_strip(page):
    width, height = page.evaluate(
        "(() => { const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight]; })()"
    )
    assert width == 320
    assert height > 180


def test_details_come_with_the_mouse_and_with_the_keyboard(page):
    assert page.evaluate("document.getElementById('tip').hidden")
    page.hover(".lane:nth-of-type(3) .seg:nth-child(2)")
    page.wait_until("!document.getElementById('tip').hidden")
    text = page.evaluate("document.getElementById('tip').innerText")
    for wanted in ("unknown", "3.0 s to 5.0 s", "at best jumping jack", "41 %", "stand", "6 %"):
        assert wanted in text
    inside = page.evaluate(
        "(() => { const b = document.getElementById('tip').getBoundingClientRect();"
        " return b.left >= 0 && b.right <= innerWidth && b.top >= 0 && b.bottom <= innerHeight; })()"
    )
    assert inside
    page.evaluate("document.querySelector('.lane:nth-of-type(2) .seg').focus()")
    page.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Person 1: wave")
    page.wait_until("document.getElementById('tip').innerText.includes('71 %')")
    page.press("Escape")
    page.wait_until("document.getElementById('tip').hidden")


def test_the_table_of_segments_can_be_filtered(page):
    page.evaluate(
        "(() => { const i = document.querySelector('.filter input'); i.value = 'person 2, Stand';"
        " i.dispatchEvent(new Event('input')); })()"
    )
    shown = page.evaluate(
        "[...document.querySelectorAll('.segments tbody tr')].filter(r => r.checkVisibility())"
        ".map(r => r.cells[0].textContent)"
    )
    assert shown == ["Person 2", "Person 2"]  # its other segment has `stand` as a runner-up


def test_zooming_widens_the_lanes_and_keeps_the_page(page):
    before = page.evaluate("document.querySelector('.seg').getBoundingClientRect().width")
    page.click("[data-zoom=in]")
    after = page.evaluate("document.querySelector('.seg').getBoundingClientRect().width")
    assert after == pytest.approx(2 * before, rel=0.02)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.querySelector('.zoom output').textContent") == "2×"


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (768, False), (360, True)])
@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_at_every_width_and_in_both_themes(browser, results, width, mobile, dark):
    browser.open(results / "report.html", width=width, mobile=mobile, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(LOW_CONTRAST) == []


def test_the_theme_can_be_switched(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.click(".theme")
    assert page.evaluate(colour) != before
    page.click(".theme")
    assert page.evaluate(colour) == before


def test_paper_is_white_and_shows_what_was_folded(browser, crowded):
    browser.open(crowded / "report.html", dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate("document.querySelectorAll('details:not([open])').length") > 0
    browser.call("Emulation.setEmulatedMedia", media="")


def test_without_the_video_file_the_page_still_works(browser, results, tmp_path):
    lonely = tmp_path / "report.html"
    lonely.write_bytes((results / "report.html").read_bytes())
    browser.open(lonely)
    browser.wait_until("document.querySelector('figure').hidden")
    browser.click(".lane:nth-of-type(2) .seg")
    browser.wait_until("document.getElementById('tip').innerText.includes('walk')")


def test_without_scripts_everything_is_still_there(browser, results):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(results / "report.html")
        text = browser.evaluate("document.body.innerText")
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    for wanted in ("Person 2", "walk", "Time per person and label", "93 %", "How sure is this?"):
        assert wanted in text
    for useless in ("Show only", "Choose a segment below"):
        assert useless not in text, "controls that need scripts are hidden"


def test_an_hour_with_fifty_people_stays_usable(browser, crowded):
    browser.open(crowded / "report.html")
    assert browser.complaints() == []
    assert browser.evaluate("document.querySelectorAll('.seg').length") == 2004
    seen = "[...document.querySelectorAll('#source-1 .lane')].filter(l => l.checkVisibility()).length"
    assert browser.evaluate(seen) == 12
    browser.evaluate("document.querySelector('details.more').open = true")
    assert browser.evaluate(seen) == 50
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


FITTING = """
[...document.querySelectorAll('#source-1 .seg')].map(s => {
  const seg = s.getBoundingClientRect(), text = s.firstElementChild.getBoundingClientRect();
  return [seg.width, text.width, text.top < seg.bottom - 1 && text.bottom > seg.top + 1];
})
"""


def test_a_label_is_shown_whole_or_not_at_all(browser, crowded, results):
    browser.open(crowded / "report.html")
    found = browser.evaluate(FITTING.replace("'#source-1 .seg'", "'#source-1 .lane:not(details.more *) .seg'"))
    assert len(found) == 12 * 40
    assert not any(shown for width, needed, shown in found if needed > width)
    browser.open(results / "report.html")
    found = browser.evaluate(FITTING)
    assert all(needed <= width for width, needed, _ in found)
    assert all(shown for _, _, shown in found)


def test_the_table_of_sources_needs_no_sideways_scrolling(browser, crowded):
    browser.open(crowded / "report.html", width=360, mobile=True)
    wide = "(() => { const t = document.querySelector('nav .scrollx'); return t.scrollWidth - t.clientWidth; })()"
    assert browser.evaluate(wide) <= 0
    cells = "[...document.querySelectorAll('nav tbody td')].every(c => c.getBoundingClientRect().right <= innerWidth)"
    assert browser.evaluate(cells)


def test_a_hostile_name_is_only_text(browser, crowded):
    browser.open(crowded / "report.html")
    assert browser.evaluate("document.title") == "3 videos · tubelet"
    assert browser.evaluate("document.querySelector('#source-2 h2').textContent").startswith("<img src=x")
    assert browser.requests() == [(crowded / "report.html").as_uri()]


def test_the_table_of_contents_opens_what_it_points_to(browser, crowded):
    browser.open(crowded / "report.html")
    browser.evaluate("document.getElementById('source-3').open = false")
    browser.click("nav a[href='#source-3']")
    browser.wait_until("document.getElementById('source-3').open")


def test_subtitles_are_valid_for_the_browser(browser, results, tmp_path):
    text = next(results.glob("*/actions.vtt")).read_text("utf-8")
    blank = tmp_path / "blank.html"
    blank.write_text("<!doctype html><video></video>")
    browser.open(blank)
    cues = browser.evaluate(
        "new Promise((done, fail) => { const track = document.createElement('track'); track.kind = 'subtitles';"
        f" track.src = 'data:text/vtt;charset=utf-8,' + encodeURIComponent({text!r});"
        " track.onload = () => done([...track.track.cues].map(c => [c.startTime, c.endTime, c.text]));"
        " track.onerror = () => fail('not valid'); "
        " document.querySelector('video').append(track); track.track.mode = 'showing'; })"
    )
    assert cues == [
        [0, 1, "Person 1: walk (93 %)"],
        [1, 2, "Person 1: walk (93 %)\nPerson 2: stand (80 %)"],
        [2, 3, "Person 1: wave (71 %)\nPerson 2: stand (80 %)"],
        [3, 6, "Person 1: wave (71 %)"],
    ]


# Contrast of all visible text against the nearest plain background (WCAG 2.2, 4.5 to 1). Hatched backgrounds are
# taken as their own colours by the styles and are left out here.
LOW_CONTRAST = """
(() => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (text) => {
    probe.clearRect(0, 0, 1, 1); probe.fillStyle = text; probe.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((c) => linear(c / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const seen = element.checkVisibility({ visibilityProperty: true });
    if (!own || !seen || element.closest('video, .none, script')) continue;
    let back = null, hatched = false;
    for (let e = element; e && !back; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== 'none' && !e.matches('.top')) { hatched = true; break; }
      const colour = rgba(style.backgroundColor);
      if (colour[3] > 0.99) back = colour;
    }
    if (hatched || !back) continue;
    const [one, two] = [light(rgba(getComputedStyle(element).color)), light(back)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5) bad.push([element.className || element.tagName, element.textContent.trim().slice(0, 30), ratio]);
  }
  return bad;
})()
"""
