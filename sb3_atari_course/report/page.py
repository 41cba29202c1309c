"""The page around a report: one HTML file that asks nothing of a network and runs no script."""

from __future__ import annotations

import html

from sb3_atari_course import __version__

#: Nothing may be loaded, even if some text of a run got past the escaping.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"

#: Pictures keep a white card in dark mode: their axes are black.
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5c6670; --line: #dfe3e8;
  --paper: #f6f7f9; --card: #ffffff; --link: #0a5ea8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa5b0; --line: #333b44;
  --paper: #14181d; --card: #1c2229; --link: #7dbcf2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .6rem; }
section.run { border-top: 2px solid var(--line); margin-top: 3rem; }
section.run > h2 { font-size: 1.5rem; margin-top: 1.5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; }
a { color: var(--link); }
.soft, footer { color: var(--soft); font-size: .9rem; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
code, pre { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.command, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .8rem 1rem; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem; }
figure svg { display: block; width: 100%; height: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .9rem; }
.tiles dt { color: var(--soft); font-size: .82rem; }
.tiles dd { margin: .1rem 0 0; font-size: 1.25rem; font-weight: 600;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .42rem .9rem; }
tr + tr > *, thead + tbody > tr:first-child > * { border-top: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--soft); font-size: .82rem; vertical-align: bottom; }
table.rows th, table.rows td { padding: .42rem .65rem; }
table.keys th { width: 15rem; font-weight: 500; color: var(--soft); }
td { overflow-wrap: break-word; font-variant-numeric: tabular-nums; }
th.number, td.number { text-align: right; }
td.number, td a { white-space: nowrap; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--link); }
video { display: block; max-width: 100%; width: 30rem; max-height: 36rem; margin: 0 auto;
  background: #000; border-radius: 4px; image-rendering: pixelated; }
@media print { body { background: #fff; } main { max-width: none; } }
"""


def html_page(title: str, body: str) -> str:
    """Return a whole HTML document.

    :param title: text of the window and of the headline.
    :param body: HTML below the headline.
    """
    text = html.escape(title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{text}</h1>
{body}
<footer>Written by sb3_atari_course {html.escape(__version__)}. A frame is one of the emulator,
a step one of the agent (4 frames in most games).</footer>
</main>
</body>
</html>
"""
