"""What comes from outside can't move the cursor, hide or turn around what is shown."""

import html
import re
import sys
import unicodedata

import pytest

from kh_zoo.errors import PictureError
from kh_zoo.measuring import comparison, report
from kh_zoo.plugins.describe import describe
from kh_zoo.shown import shown

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "one byte": "\x9b31m",
    "back": "good\b\b\b\bevil",
    "line": "a\nError: all is lost\r",
    "reversed": "gpj.\u202eexe",
    "isolated": "\u2066a\u2069",
    "marks": "\u200e\u200f\u061c",
    "invisible": "pay\u200bpal\ufeff",
    "tags": "\U000e0041\U000e0042",
    "separators": "a\u2028b\u2029c\x85d",
    "no UTF-8": "caf\udce9",
}


def test_every_character_that_has_no_shape_is_escaped():
    for number in (*range(0x3100), *range(0x3100, sys.maxunicode + 1, 89), 0xFEFF, 0xE0041):
        char = chr(number)
        category = unicodedata.category(char)
        result = shown(f"a{char}b")
        if category[0] in "CZ" and category != "Zs":
            assert re.fullmatch(r"a\\(x..|u....|U........|[nrt])b", result), hex(number)
        else:
            assert result == f"a{char}b"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_shown_stays_so(text):
    assert shown(shown(text)) == shown(text)
    assert "\x1b" not in shown(text)
    assert not any(unicodedata.bidirectional(char) in BIDI for char in shown(text))


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_pages_show_names_so(text):
    for module in (comparison, report):
        assert html.unescape(module._text(text)) == shown(text)


def test_a_traceback_for_the_asking(monkeypatch, capsys):
    monkeypatch.setenv("KH_DEBUG", "1")
    try:
        raise PictureError("\x1b[31m \u202e")
    except PictureError as error:
        describe(error)
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert "\x1b" not in said
    assert "\\x1b[31m \\u202e" in said
