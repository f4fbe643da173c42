"""The style sheet of the report."""

from typing import Final

from ior_nb.export.stacks import METRICS

__all__ = ["STYLE"]

_LIGHT: Final = """
color-scheme:light;--page:#f5f6f8;--panel:#fff;--line:#dfe3e8;--text:#1c2127;--quiet:#5c6773;--accent:#2563b0;
--read:#3b7dc4;--write:#e08a2e;--transfer:#8e63b8;--other:#8a96a3;--error:#c8323d;--good:#1d7a46;
--f-process:#dfe4ea;--f-other:#d3dce0;--f-read:#bcd8f5;--f-write:#fbd6a8;--f-transfer:#dfcbf2;--f-line:#fff;
--hit:#e5399b;--bar:#e4ecf5;"""
_DARK: Final = """
color-scheme:dark;--page:#14171b;--panel:#1c2026;--line:#2f353d;--text:#e6e9ed;--quiet:#97a1ad;--accent:#7db3f0;
--read:#5a9bdf;--write:#e39a4c;--transfer:#ab86d1;--other:#7d8894;--error:#f0707a;--good:#5fc98c;
--f-process:#343b44;--f-other:#36434a;--f-read:#234e7c;--f-write:#7a4a17;--f-transfer:#54387a;--f-line:#1c2026;
--hit:#d6338a;--bar:#263140;"""
_RULES: Final = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:14px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 40px}
h1{font-size:22px;line-height:1.25;margin:0 0 4px;font-weight:650;overflow-wrap:anywhere}
h2{font-size:14px;font-weight:650;margin:0}
section{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:14px 0 0}
header p{margin:2px 0}.facts,.quiet,footer{color:var(--quiet)}footer{margin-top:18px;font-size:12px}
.pill{display:inline-block;margin-top:6px!important;padding:2px 10px;border-radius:8px;border:1px solid;font-size:13px}
.good{color:var(--good)}.bad{color:var(--error);font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:10px;margin-top:14px}
.tile{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:10px 14px;
display:flex;flex-direction:column}
.tile b{font-size:20px;font-weight:650;font-variant-numeric:tabular-nums;white-space:nowrap}
.tile span{color:var(--quiet)}.tile small{color:var(--quiet);min-height:1.4em}
.tile.read b{color:var(--read)}.tile.write b{color:var(--write)}.tile.error b{color:var(--error)}
.bar-line{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center;margin-bottom:10px}
.bar-line .grow{flex:1}
.legend{display:flex;gap:12px;color:var(--quiet);font-size:12px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px;vertical-align:-1px}
.i-read{background:var(--read)}.i-write{background:var(--write)}.i-transfer{background:var(--transfer)}
.i-other{background:var(--other)}.i-error{background:var(--error)}
.pick{display:inline-flex;border:1px solid var(--line);border-radius:7px;overflow:hidden}
.pick label{padding:3px 11px;cursor:pointer;font-size:13px;color:var(--quiet);border-left:1px solid var(--line)}
.pick label:first-child{border-left:0}
.flame>input{position:absolute;opacity:0;pointer-events:none}
.graph{display:none}
.flame>input:focus-visible~.bar-line .pick{outline:2px solid var(--accent)}
input[type=search],button{font:inherit;font-size:13px;padding:3px 9px;color:inherit;background:var(--page);
border:1px solid var(--line);border-radius:7px}
button{cursor:pointer}.js-only{display:none}.js .js-only{display:inline-block}
.graph svg{display:block;width:100%}
.graph svg svg{cursor:pointer;overflow:hidden}
.graph rect{stroke:var(--f-line);stroke-width:1;fill:var(--f-process)}
.graph text{fill:var(--text);font:12px/1 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;pointer-events:none}
.graph .read rect{fill:var(--f-read)}.graph .write rect{fill:var(--f-write)}
.graph .transfer rect{fill:var(--f-transfer)}.graph .other rect{fill:var(--f-other)}
.graph .thin text,.graph .gone{display:none}.graph .above{opacity:.55}
.graph svg svg:hover rect{stroke:var(--text)}
.graph .hit rect{fill:var(--hit)}.graph .hit text{fill:#fff}
.hint{min-height:1.5em;margin:8px 0 0;color:var(--quiet);font-size:13px;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:3fr 2fr;gap:0 14px}
.pair>section{min-width:0}
@media(max-width:860px){.pair{grid-template-columns:1fr}}
.chart{display:grid;grid-template-columns:auto 1fr;gap:0 8px;font-size:12px;color:var(--quiet)}
.chart .y{display:flex;flex-direction:column;justify-content:space-between;text-align:right;line-height:1;
font-variant-numeric:tabular-nums;white-space:nowrap;min-width:62px}
.chart svg{display:block;width:100%;overflow:visible}
.chart .x{grid-column:2;display:flex;justify-content:space-between;padding-top:4px;font-variant-numeric:tabular-nums}
.chart .at{position:relative;height:1.6em;display:block}
.chart .at span{position:absolute;white-space:nowrap;transform:translateX(-50%)}
.chart .name{grid-column:2;padding:8px 0 3px;color:var(--text)}
.chart line{stroke:var(--line)}
.chart .read{fill:var(--read)}.chart .write{fill:var(--write)}.chart .transfer{fill:var(--transfer)}
.chart .other{fill:var(--other)}.chart .error{fill:var(--error)}
.chart .over{fill:transparent}.chart .over:hover{fill:var(--text);fill-opacity:.09}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;color:var(--quiet);text-align:right;padding:3px 14px 5px 0;white-space:nowrap;font-size:13px}
td{padding:3px 14px 3px 0;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
.l{text-align:left}td.l{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:12.5px}
td.main{background:linear-gradient(to left,var(--bar) var(--w),transparent var(--w)) content-box;min-width:118px}
th:last-child,td:last-child{padding-right:0}
td.wide{width:99%}td.path{max-width:0;min-width:26ch;overflow:hidden;text-overflow:ellipsis}
td.path span{display:inline-block;max-width:calc(100% - 20ch);overflow:hidden;text-overflow:ellipsis;
vertical-align:bottom}
@media(max-width:860px){th,td{padding-right:9px}td.main{min-width:64px}}
td.e{color:var(--error)}
.js th[data-sort]{cursor:pointer}.js th[data-sort]:hover{color:var(--text)}
details>summary{cursor:pointer;list-style-position:outside;margin-left:14px}
summary h2{display:inline}summary small,section>small{color:var(--quiet);margin-left:8px}
details[open]>summary{margin-bottom:8px}
@media print{.js .js-only{display:none}section{break-inside:avoid}}
"""

# The drawing of the metric that is chosen, and its button.
_CHOSEN: Final = "".join(
    f"#m-{m}:checked~.g-{m}{{display:block}}"
    f"#m-{m}:checked~.bar-line [for=m-{m}]{{background:var(--accent);color:var(--panel)}}"
    for m in METRICS
)

STYLE: Final = (
    f":root{{{_LIGHT}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    f":root[data-theme=light]{{{_LIGHT}}}:root[data-theme=dark]{{{_DARK}}}{_RULES}{_CHOSEN}"
).replace("\n", "")
