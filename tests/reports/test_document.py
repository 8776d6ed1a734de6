"""A page needs nothing but itself, can be read by all, and says the same as its Markdown."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facealike.reports.elements import (
    Cell,
    Document,
    FaceRow,
    Items,
    KeyNumbers,
    Paragraph,
    PhotoPair,
    PhotoPairs,
    Picture,
    Pictures,
    Section,
    Table,
    Terms,
)
from facealike.reports.html import style_sheet, to_html
from facealike.reports.markdown import to_markdown
from support.html_page import VOID, Page  # noqa: F401

ODD = '<b onclick="x()">&amp;| `a` [b](c) \\ *d* _e_ # "q"'


def document(text: str = ODD, crops: bool = True, crops_in_markdown: bool = False) -> Document:
    pair = PhotoPair("pair-01", text, "b.jpg", "0.7", text, (b"one", b"two") if crops else None)
    blocks = (
        Paragraph(text),
        Items((text, "two"), "warning"),
        KeyNumbers(((text, Cell("0.9", "0.8 to 1.0"), text),)),
        Table(text, ("name", text), ((Cell(text), Cell("1", text)), (Cell("b"), Cell("2")))),
        Terms(((text, text),)),
        Pictures((Picture("roc", text, "<svg><path d='M 0 0'/></svg>", b"png", text, text),)),
        PhotoPairs(text, (pair,), crops_in_markdown),
        FaceRow(text, ((b"face", text),) if crops else (), hidden=3),
    )
    return Document(text, text, (Section("one", text, blocks), Section("two", "Two", ())), text)


def test_the_page_fits_together_and_takes_no_markup_from_its_text() -> None:
    page = Page(to_html(document()))
    assert not [tag for tag, attributes in page.tags if tag == "b" and attributes]
    assert "".join(page.words).count(ODD) >= 14
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby",):
            assert attributes.get(name) in [None, *ids]


def test_the_page_needs_nothing_but_itself() -> None:
    html = to_html(document())
    page = Page(html)
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert "default-src 'none'" in html and "url(" not in style_sheet() and "@import" not in style_sheet()
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:image/jpeg;base64,"))
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert {a["href"][1:] for a in page.all("a")} <= targets


def test_the_page_can_be_read_without_seeing_it() -> None:
    page = Page(to_html(document()))
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1 and len(page.all("main")) == 1
    assert all(image["alt"] for image in page.all("img")) and len(page.all("img")) == 3
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: the ratio of the relative luminances of two colours."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(c + c for c in colour)
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_differ_enough_in_light_and_in_dark() -> None:
    themes = [
        dict(re.findall(r"--(\w+): #([0-9a-f]{3,6});", t))
        for t in re.findall(r":root \{(.+?)\}", CSS, re.DOTALL)
    ]
    assert len(themes) == 2
    for theme in themes:
        for ground in ("paper", "field"):
            for text in ("ink", "weak"):
                assert contrast(theme[text], theme[ground]) >= 4.5
        assert contrast(theme["ink"], theme["warning"]) >= 4.5
        assert contrast(theme["blue"], theme["paper"]) >= 4.5  # links
        for line in ("vermilion", "green", "gray"):
            assert contrast(theme[line], theme["paper"]) >= 3


CSS = style_sheet()


def test_photos_are_in_the_markdown_only_when_asked_for() -> None:
    assert set(document().pictures()) == {"roc.png"}
    assert "pair-01" not in to_markdown(document(), "p")
    asked = document(crops_in_markdown=True)
    assert asked.pictures() == {"roc.png": b"png", "pair-01-a.jpg": b"one", "pair-01-b.jpg": b"two"}
    text = to_markdown(asked, "my pictures")
    assert all(f"(my%20pictures/{name})" in text for name in asked.pictures())
    assert not document(crops=False, crops_in_markdown=True).pictures().keys() - {"roc.png"}


def test_without_photos_both_forms_hold_their_names() -> None:
    nobody = document("someone.jpg", crops=False)
    assert not Page(to_html(nobody)).all("img")
    for text in (to_html(nobody), to_markdown(nobody, "p")):
        assert "someone.jpg" in text and "b.jpg" in text


def test_markdown_tables_hold_together() -> None:
    table = [line for line in to_markdown(document(), "p").splitlines() if line.startswith("|")]
    bars = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in table]
    assert bars[:3] == [4, 4, 4] and set(bars[3:]) == {3, 5}


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_no_text_breaks_the_page(text: str) -> None:
    Page(to_html(document(text)))
    lines = [line for line in to_markdown(document(text), "p").splitlines() if line.startswith("|")]
    assert len(lines) >= 8


@pytest.mark.parametrize("feature", ["prefers-color-scheme: dark", "@media print", "max-width", "overflow-x"])
def test_the_style_sheet_knows_dark_screens_paper_and_phones(feature: str) -> None:
    assert feature in CSS
