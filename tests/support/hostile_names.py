"""Names that others chose, against every kind of output: terminal, Markdown, HTML, figures, spreadsheets."""

from __future__ import annotations

NAMES = [
    # terminals: colour, title, clearing, links, the 8-bit forms, bell, backspace
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b[2J\x1b[H",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x9b31mred",
    "\x9d0;t\x9c", "a\x07b", "abc\x08\x08\x08xyz", "\x1bP1;2q\x1b\\", "\x1b[6n", "\x0e\x0fshift", "\x7fdel",
    # lines: a verdict of its own
    "two\nlines", "x\rsame person", "x\nsame person\nscore 1.000", "a\x0bb\x0cc", "a\x85b", "a\u2028b\u2029c",
    # direction and what cannot be seen
    "abc\u202egpj.exe", "\u2066iso\u2069", "\u200b\u200c\u200d", "\ufeffbom", "\u00adsoft", "\u061carab",
    "tag\U000e0041", "\u3164filler", "nbsp\u00a0here", "e\u0301" * 20, "\U000f0000private",
    # no text
    "\udcff", "lone\ud800", "\udc80\udcff.jpg",
    # Markdown
    "a|b", "| --- |", "`code`", "**bold**", "[x](javascript:alert(1))", "![x](http://x/y.png)",
    "# head", "> quote",
    "a\\|b", "\\", "~~gone~~", "<!-- x -->", "&lt;b&gt;", "|" * 30, "- item", "1. item", "___",
    # HTML
    '<img src=x onerror="alert(1)">', "<script>alert(1)</script>", "</td></table><h1>x", "'\"><svg onload=x>",
    "]]>", "<![CDATA[", "</style><script>x</script>", "&amp;&#60;",
    # matplotlib
    "$", "$$", "$x$", "$\\frac{1}{", "\\$5$", "$\\badcommand$", "a$b$c$", "_hidden", "{", "%d %s {0}", "^_",
    # spreadsheets and shells
    "=1+1", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "=HYPERLINK(\"http://x\")", "$(reboot)",
    "; rm -rf x", "-rf",
    "--json", "~", "CON", "x.", " lead", "trail ", "", "a\tb", "'quoted'", '"double"', ",", ";", "a,b,same",
    # length and letters
    "x" * 5000, "写真" * 60, "😀" * 40, "Größe", "Ünïcødé", "ℵ₀", "مرحبا", "שלום", "\u0e33" * 30, "ꙮ", "ﷺ",
    "[bold red]rich[/bold red]", "[/]", "[link=http://x]", "\\[x]", ":smile:", "{{x}}",
    "<%= x %>", "null", "NaN",
]  # fmt: skip
"""At least a hundred, each with a place where a program has failed on it."""


def as_file(name: str, longest: int = 200) -> str:
    """``name`` as the name of a file or folder: no slash, no NUL, not too long in bytes, not special."""
    cut = name.replace("/", "_").replace("\0", "_")
    while len(cut.encode("utf-8", "surrogatepass")) > longest:
        cut = cut[: len(cut) * longest // (longest + 20) - 1]
    try:
        cut.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "lone"  # a surrogate that stands for no byte is no name of a file
    return cut if cut not in ("", ".", "..") else "empty"
