"""How the page of a calibration looks, and the script that turns its scene."""

STYLE = """\
:root{--ink:#1d2430;--soft:#5d6778;--line:#d8dde5;--ground:#fff;--panel:#f5f7fa;--kept:#1f77d0;--left:#e4572e;
--good:#2e8b57;--marginal:#c98a00;--bad:#c8312b;--blank:#d3d8df;--arrow:#1d2430;color-scheme:light}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b5;--line:#37404d;--ground:#14181e;
--panel:#1c222a;--kept:#58a6ff;--left:#ff7b54;--good:#4cc38a;--marginal:#e3b341;--bad:#ff6b63;--blank:#2b323c;
--arrow:#e6e9ee;color-scheme:dark}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:28px 24px 60px;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:18px;margin:40px 0 6px;padding-top:12px;border-top:1px solid var(--line)}
h3{font-size:15px;margin:0 0 6px}
p{margin:4px 0 10px;max-width:85ch}
.soft,figcaption,caption{color:var(--soft);font-size:13px}
.verdict{border-left:6px solid var(--good);background:var(--panel);padding:14px 18px;margin:16px 0;
border-radius:4px;font-size:18px;font-weight:600}
.verdict.critical{border-color:var(--bad)}.verdict.warning{border-color:var(--marginal)}
.alarm{border:1px solid var(--line);border-left:6px solid var(--soft);border-radius:4px;padding:10px 16px;
margin:10px 0;break-inside:avoid}
.alarm.critical{border-left-color:var(--bad)}.alarm.warning{border-left-color:var(--marginal)}
.alarm b.level{text-transform:uppercase;font-size:11px;letter-spacing:.07em;color:var(--soft)}
.alarm.critical b.level{color:var(--bad)}.alarm.warning b.level{color:var(--marginal)}
.alarm ul{margin:2px 0 6px;padding-left:20px}.alarm p{margin:2px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px;margin:8px 0}
caption{caption-side:bottom;text-align:left;padding-top:6px}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft);font-size:13px}
th[scope=row],th.name{text-align:left;color:var(--ink)}
thead tr:first-child th[colspan]{text-align:center}
.gap{border-left:1px solid var(--line)}
.sum td,.sum th{font-weight:600}
.matrix td{text-align:center;min-width:92px;line-height:1.3;border:1px solid var(--line)}
.matrix td.own{color:var(--soft)}
.matrix td b{font-weight:600}.matrix td span{display:block;font-size:12px;color:var(--soft)}
.matrix .good{box-shadow:inset 0 -4px var(--good)}.matrix .marginal{box-shadow:inset 0 -4px var(--marginal)}
.matrix .insufficient,.matrix .none{box-shadow:inset 0 -4px var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:22px 20px}
.grid.two{grid-template-columns:repeat(auto-fill,minmax(420px,1fr))}
figure{margin:0;break-inside:avoid}
svg{display:block;width:100%;height:auto;max-height:86vh;background:var(--panel);border-radius:3px}
svg text{fill:var(--ink);font-family:inherit}
figcaption{margin-top:4px}
.key{display:inline-block;width:10px;height:10px;border-radius:5px;margin:0 4px 0 12px}
path{fill:none}
path.kept,path.left{stroke-linecap:round}
path.kept{stroke:var(--kept)}path.left{stroke:var(--left)}
rect.kept,.key.kept{fill:var(--kept);background:var(--kept)}
rect.left,.key.left{fill:var(--left);background:var(--left)}
rect.blank{fill:var(--blank)}rect.frame{fill:none;stroke:var(--line)}
path.cells{stroke:#fff;stroke-opacity:.45;stroke-width:1.5}
path.arrow,path.bar{stroke:var(--arrow)}path.tail{stroke:var(--left);stroke-linecap:round}
path.axis{stroke:var(--soft)}path.grid{stroke:var(--line)}path.cut{stroke:var(--soft);stroke-dasharray:3 3}
#scene{cursor:grab;touch-action:none}
#scene path{stroke-width:1.3;stroke:var(--ink);stroke-linejoin:round}
#scene path.board{stroke:var(--kept);fill:var(--kept);fill-opacity:.08;stroke-opacity:.55;stroke-width:1}
#scene path.camera{fill:var(--left);fill-opacity:.25}
#scene text{font-size:16px;font-weight:600;text-anchor:middle;dominant-baseline:middle;
paint-order:stroke;stroke:var(--panel);stroke-width:4px}
@media print{:root{--ink:#000;--soft:#444;--line:#ccc;--ground:#fff;
--panel:#f6f6f6;--kept:#1f77d0;--left:#e4572e;
--good:#2e8b57;--marginal:#c98a00;--bad:#c8312b;--blank:#ddd;--arrow:#000;color-scheme:light}
body{max-width:none;padding:0;font-size:11px}svg{max-height:none}.grid{grid-template-columns:1fr 1fr}
table{font-size:10px}th,td{padding:2px 5px}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

SCRIPT = """\
(()=>{const svg=document.getElementById("scene");if(!svg)return;
const s=JSON.parse(svg.dataset.scene),items=[...svg.children];
let a=s.azimuth,e=s.elevation,z=s.zoom,from=null;
const draw=()=>{const sa=Math.sin(a),ca=Math.cos(a),se=Math.sin(e),ce=Math.cos(e);
const flat=s.points.map(([x,y,d])=>{const u=ca*x+sa*d,w=ca*d-sa*x,v=ce*y-se*w,far=ce*w+se*y;
const k=z*s.distance/(s.distance+far);return[(u*k).toFixed(1),(v*k).toFixed(1)]});
s.shapes.forEach((ids,i)=>{const el=items[i];if(el.tagName==="text"){el.setAttribute("x",flat[ids[0]][0]);
el.setAttribute("y",flat[ids[0]][1]);return}
const closed=el.matches(".board,.camera")?"Z":"";
el.setAttribute("d","M"+ids.map(j=>flat[j].join(" ")).join("L")+closed)})};
svg.addEventListener("pointerdown",p=>{from=[p.clientX,p.clientY,a,e];svg.setPointerCapture(p.pointerId)});
svg.addEventListener("pointermove",p=>{if(!from)return;a=from[2]-(p.clientX-from[0])/200;
e=Math.max(-1.57,Math.min(1.57,from[3]+(p.clientY-from[1])/200));draw()});
svg.addEventListener("pointerup",()=>{from=null});
svg.addEventListener("wheel",w=>{if(!w.ctrlKey)return;w.preventDefault();
z*=Math.exp(-w.deltaY/600);draw()},{passive:false})})();
"""
