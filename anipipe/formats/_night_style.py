"""How the page of a night looks."""

STYLE = """\
:root{--ink:#1d2430;--soft:#5d6778;--line:#d8dde5;--ground:#fff;--panel:#f5f7fa;--good:#2e8b57;--warn:#b87a00;
--bad:#c8312b;--calm:#2f6fb3;--odd:#8a4fb0;--good-tint:#e3f3ea;--warn-tint:#fbf0d9;--bad-tint:#fbe3e1;
--calm-tint:#e2edf8;--odd-tint:#f1e6f8;color-scheme:light}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b5;--line:#37404d;--ground:#14181e;
--panel:#1c222a;--good:#4cc38a;--warn:#e3b341;--bad:#ff7b72;--calm:#79b8ff;--odd:#d2a8ff;--good-tint:#16301f;
--warn-tint:#33290f;--bad-tint:#3a1a19;--calm-tint:#152a42;--odd-tint:#2c1c3a;color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:24px 20px 60px;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
overflow-wrap:anywhere}
h1{font-size:25px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:18px;line-height:1.3;margin:44px 0 4px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:22px 0 4px}
p{margin:4px 0 8px;max-width:85ch}
a{color:var(--calm)}
.soft{color:var(--soft);font-size:13px}
.verdict{border-left:6px solid var(--good);background:var(--panel);padding:12px 16px;margin:14px 0;
border-radius:4px;font-size:18px;font-weight:600;max-width:none}
.verdict.bad{border-color:var(--bad)}.verdict.warn{border-color:var(--warn)}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0;padding:0;list-style:none}
.tiles li{background:var(--panel);border-radius:4px;padding:8px 14px;min-width:104px;flex:0 1 auto}
.tiles b{display:block;font-size:22px;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:13px}
.tiles .bad b{color:var(--bad)}.tiles .warn b{color:var(--warn)}.tiles .calm b{color:var(--calm)}
.tiles .odd b{color:var(--odd)}
.chip{display:inline-block;border-radius:10px;padding:0 9px;font-size:12px;font-weight:600;white-space:nowrap;
vertical-align:2px;background:var(--panel);color:var(--soft)}
.chip.good{background:var(--good-tint);color:var(--good)}.chip.bad{background:var(--bad-tint);color:var(--bad)}
.chip.warn{background:var(--warn-tint);color:var(--warn)}.chip.calm{background:var(--calm-tint);color:var(--calm)}
.chip.odd{background:var(--odd-tint);color:var(--odd)}
.scroll{overflow-x:auto;margin:6px 0}
table{border-collapse:separate;border-spacing:0;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:4px 9px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;
overflow-wrap:normal}
th{font-weight:600;color:var(--soft);font-size:13px}
th:first-child{text-align:left;position:sticky;left:0;background:var(--ground);max-width:46vw;
overflow:hidden;text-overflow:ellipsis}
tbody th{color:var(--ink);font-weight:400;font-size:14px}
.map td{text-align:center;border:1px solid var(--ground);padding:3px 8px;font-size:13px;
background:var(--panel)}
.map thead th{text-align:center;font-size:12px}.map thead th:first-child{text-align:left}
td.g{background:var(--good-tint);color:var(--good)}
td.b{background:var(--bad-tint);color:var(--bad);font-weight:600}
td.w{background:var(--warn-tint);color:var(--warn)}td.c{background:var(--calm-tint);color:var(--calm)}
td.o{background:var(--odd-tint);color:var(--odd);font-weight:600}
td small{font-size:12px;font-weight:400}
details{margin:6px 0}
summary{cursor:pointer}
.item{border:1px solid var(--line);border-left:5px solid var(--soft);border-radius:4px;padding:8px 12px;
margin:8px 0}
.item.bad{border-left-color:var(--bad)}.item.warn{border-left-color:var(--warn)}
.item.odd{border-left-color:var(--odd)}.item.calm{border-left-color:var(--calm)}
.item p{margin:2px 0;white-space:pre-wrap;max-width:none}
.item details{margin:4px 0 0}
.item ul{margin:2px 0 4px}
pre{background:var(--panel);border-radius:3px;padding:8px 10px;overflow-x:auto;font-size:12px;line-height:1.4;
white-space:pre-wrap;margin:6px 0}
ul{margin:4px 0 8px;padding-left:20px}
li{white-space:pre-wrap}
.bar{display:block;height:8px;border-radius:2px;background:var(--calm);min-width:2px}
td.meter{width:30%;min-width:90px}
@media (max-width:600px){body{padding:16px 12px 40px}h1{font-size:21px}.verdict{font-size:16px}
.tiles{gap:8px}.tiles li{min-width:0;flex:1 1 28%;max-width:33%;padding:6px 10px}.tiles b{font-size:19px}}
@media print{:root{--ground:#fff}body{max-width:none;padding:0;font-size:11px}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
