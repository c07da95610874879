"""The frame of the HTML report: `PAGE.format(title=..., body=...)`, both already escaped."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title} – qgssl_fast</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --ground: #f6f7f9; --card: #fff; --line: #d8dee4;
  --mark: #e7f1fb; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ed; --soft: #9aa4af; --ground: #14171b; --card: #1d2126; --line: #353b43; --mark: #1c3247; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1120px; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.7rem; margin: 0 0 .75rem; }}
h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0; }}
dt {{ color: var(--soft); }}
dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
ul {{ margin: .75rem 0 0; padding-left: 1.2rem; color: var(--soft); }}
.scroll {{ overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: .5rem .8rem; text-align: right; white-space: nowrap; }}
th {{ font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); }}
th:first-child, td:first-child {{ text-align: left; font-weight: 600; }}
tr.top td {{ background: var(--mark); }}
tbody tr + tr td {{ border-top: 1px solid var(--line); }}
figure {{ margin: 1.25rem 0; padding: .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }}
img {{ display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; border-radius: 4px; }}
figcaption, .caption {{ color: var(--soft); font-size: .9rem; margin: .7rem 0 0; }}
pre {{ background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }}
summary {{ cursor: pointer; }}
.note {{ background: #fff4ce; color: #4d3800; border: 1px solid #e3c767; border-radius: 8px; padding: .6rem .9rem; }}
@media print {{ body {{ max-width: none; }} figure {{ break-inside: avoid; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
