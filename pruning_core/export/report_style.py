"""How a report looks, on screen and on paper, and the few lines of script that draw its charts."""

# Nothing may be fetched, whatever stands in the file.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2425;--soft:#5b6668;--line:#dce3e1;--tint:#f3f6f5;
--good:#0b766b;--bad:#b4481a}
@media (prefers-color-scheme:dark){:root{--paper:#12171a;--ink:#e4eae8;--soft:#a3afac;--line:#2e383c;--tint:#1b2226;
--good:#2fb5a6;--bad:#e5895c}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:1.5rem 1.2rem 4rem}
h1{font-size:1.9rem;margin:.2rem 0}h2{font-size:1.3rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:.8rem 0 .2rem}
.sub,.source,figcaption,.detail,.label{color:var(--soft)}.sub{margin:0 0 1rem}
.source,figcaption,.detail,.label{font-size:.86rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(185px,1fr));gap:.8rem}
.fact{border:1px solid var(--line);border-radius:.45rem;padding:.7rem .8rem}
.value{font-size:1.7rem;font-weight:600}
.badge{font-size:.78rem;border-radius:.3rem;padding:.05rem .35rem;border:1px solid currentColor;color:var(--soft)}
.badge{white-space:nowrap}.badge.measured{color:var(--good)}.badge.estimated{color:var(--bad)}
.chart{margin:0 0 1rem}.plot{width:100%;overflow-x:auto}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.86rem}
th,td{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
td{font-variant-numeric:tabular-nums}
.sources td:nth-child(-n+3){white-space:nowrap}
pre{background:var(--tint);padding:.7rem .8rem;border-radius:.45rem;overflow-x:auto;font-size:.86rem}
.pictures{display:flex;flex-wrap:wrap;gap:.8rem}.picture{margin:0;width:124px;font-size:.8rem;overflow-wrap:anywhere}
.picture img{width:124px;height:124px;object-fit:contain;image-rendering:pixelated;background:#000;display:block;
border-radius:.3rem}
.set{display:flex;gap:.3rem;break-inside:avoid}.right{color:var(--good)}.wrong{color:var(--bad)}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--tint:#f4f4f4;--good:#0b766b;
--bad:#b4481a}main{max-width:none;padding:0}.summary{break-after:page}
figure,.fact,tr,pre{break-inside:avoid}.wide,.plot{overflow:visible}pre{white-space:pre-wrap}@page{margin:16mm}}
"""

DRAWING = """
const lettering = getComputedStyle(document.body).fontFamily;
const ink = () => getComputedStyle(document.body).color;
const plots = [];
const draw = source => {
  const place = document.getElementById(source.dataset.for), figure = JSON.parse(source.textContent);
  figure.layout.font = {...figure.layout.font, color: ink(), family: lettering};
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false, displayModeBar: false});
  plots.push(place);
};
// A font of the file itself has to be read first, or what is drawn is measured with another.
Promise.all(['', 'bold '].map(weight => document.fonts.load(`${weight}16px ${lettering}`, document.title))).finally(
  () => document.querySelectorAll('script[type="application/json"]').forEach(draw));
const repaint = color => plots.forEach(place => Plotly.relayout(place, {'font.color': color}));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => repaint(ink()));
addEventListener('beforeprint', () => repaint('#000'));
addEventListener('afterprint', () => repaint(ink()));
"""
