import re
from html.parser import HTMLParser

import pytest
from recognised import recognition, segment, thumbnail

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.documents import Failure, actions_document
from tubelet.methods.recognition.page import (
    MAX_OPEN_PEOPLE,
    AnnotatedVideo,
    axis_ticks,
    clock,
    render_report,
)

VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open_tags, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        # The drawing of the logo closes its own elements.
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open_tags, tag
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        if self.open_tags and self.open_tags[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def render(*recognitions, failures=(), videos=None, command="tubelet recognize demo.mp4 --out results"):
    document = actions_document(recognitions, failures, command=command, created="2026-11-23T03:00:00Z")
    return render_report(document, recognitions, videos or {})


def segments_of(page):
    return [a for a in page.of("button") if "data-s" in a]


def test_the_page_shows_who_does_what_and_when():
    page = Page(render(recognition()))
    found = [(a["aria-label"], a["style"]) for a in segments_of(page)]
    assert found == [
        ("Person 1: walk 93 %, 0.0 s to 2.0 s", "left:0.0000%;width:33.3333%"),
        ("Person 1: wave 71 %, 2.0 s to 6.0 s", "left:33.3333%;width:66.6667%"),
        ("Person 2: stand 80 %, 1.0 s to 3.0 s", "left:16.6667%;width:33.3333%"),
        ("Person 2: unknown, 3.0 s to 5.0 s", "left:50.0000%;width:33.3333%"),
    ]
    assert segments_of(page)[3]["class"] == "seg unknown"
    assert segments_of(page)[0]["data-r"] == "stand=0.06;wave=0.02"


def test_the_page_states_the_facts():
    text = Page(render(recognition())).text
    for wanted in (
        "320 × 180",
        "25 fps",
        "h264 in mp4",
        "123 kB",
        "150 frames",
        "tubelet recognize demo.mp4 --out results",
        "2026-11-23 03:00:00 UTC",
        "oidv4",
        "Apache-2.0",
        "at best jumping jack",
        "12 s of 3 people",
        "synthetic only",
        "min score 0.55",
        "detect 1.2",
    ):
        assert wanted in text, wanted


def test_time_per_person_and_label_adds_up():
    page = render(recognition())
    table = page[page.index('class="times"') : page.index("</table>", page.index('class="times"'))]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]]
    plain = [[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in rows]
    assert plain == [
        ["Person 1", "6.0 s", "", "4.0 s", "–", "2.0 s", "–"],
        ["Person 2", "4.0 s", "", "–", "2.0 s", "–", "2.0 s"],
        ["Everybody", "10.0 s", "", "4.0 s", "2.0 s", "2.0 s", "2.0 s"],
    ]


def test_nothing_is_loaded_from_anywhere():
    text = render(recognition(), videos={"demo.mp4": AnnotatedVideo(relative_path="demo/annotated.mp4")})
    page = Page(text)
    addresses = [a[name] for _, a in page.elements for name in ("src", "href") if name in a]
    outside = [address for address in addresses if not address.startswith(("data:image/jpeg;base64,", "#"))]
    assert outside == ["demo/annotated.mp4#t=0.1"]
    assert "url(" not in text
    assert "@import" not in text
    policy = page.of("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy


def test_what_comes_from_outside_is_escaped():
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    odd = recognition(
        evil,
        [segment(1, 0.0, 1.0, evil)],
        detector=evil,
        warnings=[evil],
        settings={evil: evil},
        timings_s={evil: 1.0},
        model={"name": evil, "labels": [evil], "evidence": {evil: evil}, "note": evil, "more": {evil: [evil]}},
    )
    failure = Failure.of(evil, VideoReadError(evil, "corrupt", evil))
    page = Page(render(odd, failures=[failure], command=evil))
    assert len(page.of("script")) == 1
    assert page.of("img", src="x") == []
    assert [a for _, a in page.elements if "onerror" in a] == []


def test_without_a_video_there_is_no_player():
    assert Page(render(recognition())).of("video") == []


def test_a_source_without_people_says_so():
    text = Page(render(recognition(segments=[]))).text
    assert "Nobody was found" in text
    assert "oidv4" in text


def test_no_source_at_all_still_gives_a_page():
    page = Page(render(failures=[Failure.of("bad.mp4", VideoReadError("bad.mp4", "empty", "zero bytes"))]))
    assert "1 source failed" in page.text
    assert "No result" in page.text
    assert "is shown below" not in page.text
    assert "bad.mp4: empty: zero bytes" in page.text


def test_a_source_that_failed_midway_is_shown_as_far_as_it_went():
    failure = Failure.of("demo.mp4", VideoReadError("demo.mp4", "corrupt", "damaged at 6 s"))
    page = Page(render(recognition(warnings=["reading stopped early"]), failures=[failure]))
    assert "What was found before is shown below" in page.text
    assert "reading stopped early" in page.text
    assert len(segments_of(page)) == 4


def test_whole_frame_models_have_one_lane_for_the_picture():
    page = Page(render(recognition(segments=[segment(0, 0.0, 6.0, "surf")])))
    assert segments_of(page)[0]["aria-label"] == "Whole picture: surf 90 %, 0.0 s to 6.0 s"


def test_one_of_something_is_told_as_one():
    text = Page(render(recognition(segments=[segment(1, 0.0, 2.0, "walk")], num_frames=1))).text
    for said in (" 1 frame ", " person 1 ", "The only segment"):
        assert said in text
    for wrong in ("1 frames", "people 1", "All 1 segments"):
        assert wrong not in text
    crowd = [segment(1 + index, 0.0, 2.0 + index, "walk") for index in range(MAX_OPEN_PEOPLE + 1)]
    assert "1 more person, seen for 2.0 s" in Page(render(recognition(segments=crowd, duration_s=60.0))).text


def test_the_video_shows_a_picture_before_it_plays():
    page = Page(render(recognition(), videos={"demo.mp4": AnnotatedVideo(relative_path="demo/annotated.mp4")}))
    (video,) = page.of("video")
    assert (video["src"], video["preload"]) == ("demo/annotated.mp4#t=0.1", "metadata")


def test_many_people_are_folded_and_none_is_lost():
    crowd = [segment(i, 0.0, 1.0 + i / 10, "walk") for i in range(1, 51)]
    text = render(recognition(segments=crowd, duration_s=60.0))
    assert len(segments_of(Page(text))) == 50
    first_fold = text.index('<details class="more">')
    assert text[:first_fold].count('<div class="lane">') == MAX_OPEN_PEOPLE
    assert "38 more people, each seen for at most 4.8 s" in text


def test_several_sources_have_a_table_of_contents():
    page = Page(render(recognition("a/x.mp4"), recognition("b/y.mp4", [])))
    assert [a["href"] for a in page.of("a") if a["href"].startswith("#source")] == ["#source-1", "#source-2"]
    assert [a["id"] for a in page.of("details") if "id" in a] == ["source-1", "source-2"]
    assert len(page.of("ul", **{"class": "evidence"})) == 1, "one model that ran twice is described once"


def test_a_part_of_a_video_has_its_own_axis():
    part = recognition(
        segments=[segment(1, 10.0, 15.0, "walk")], duration_s=20.0, settings={"start_s": 10.0, "end_s": 20.0}
    )
    video = AnnotatedVideo(relative_path="demo/annotated.mp4", offset_s=10.0)
    page = Page(render(part, videos={"demo.mp4": video}))
    assert segments_of(page)[0]["style"] == "left:0.0000%;width:50.0000%"
    (source,) = page.of("section", id="source-1")
    assert (source["data-start"], source["data-end"], source["data-offset"]) == ("10.0", "20.0", "10.0")


def test_all_pictures_of_a_person_are_kept_and_one_is_shown():
    pictures = [thumbnail(1, 1.0), thumbnail(1, 4.0), thumbnail(2, 2.0)]
    images = Page(render(recognition(thumbnails=pictures))).of("img")
    assert [(a["data-t"], "hidden" in a) for a in images] == [("1.0", False), ("4.0", True), ("2.0", False)]


@pytest.mark.parametrize(
    ("evidence", "badge"),
    [
        ("learned from motion capture (2 clips); synthetic evidence only", "synthetic"),
        ("looked at on real street footage", "real"),
        ("synthetic only, no real footage", "synthetic"),
        ("", "unstated"),
    ],
)
def test_evidence_is_never_shown_as_better_than_stated(evidence, badge):
    model = {"name": "m", "labels": ["walk"], "evidence": {"walk": evidence}}
    page = Page(render(recognition(segments=[segment(1, 0.0, 1.0, "walk")], model=model)))
    assert len(page.of("li", **{"class": badge})) == 1


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00.0"),
        (63.25, "1:03.2"),
        (3599.99, "1:00:00"),
        (3725.0, "1:02:05"),
    ],
)
def test_moments_are_written_for_people(time_s, text):
    assert clock(time_s) == text


@pytest.mark.parametrize("span", [(0.0, 0.4), (0.0, 7.7), (12.3, 47.0), (0.0, 3600.0), (100.0, 90000.0)])
def test_axis_ticks_are_round_inside_and_few(span):
    ticks = axis_ticks(*span)
    assert 2 <= len(ticks) <= 10
    assert span[0] <= ticks[0]
    assert ticks[-1] <= span[1]


def test_passwords_are_hidden():
    address = "rtsp://me:secret@cam/1?a=1&b=2"
    failure = Failure.of(address, VideoReadError(address, "unavailable", "silent"))
    warned = recognition(address)
    warned.warnings.append(f"{address} was slow")
    page = render(warned, failures=[failure], command=f"tubelet recognize '{address}' --json")
    assert "secret" not in page
    assert "rtsp://me:***@cam/1" in page
