// Viewers over time. The chart library is loaded when the first curve is to be drawn.
import { html, useEffect, useRef } from "../html.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";

const HEIGHT = 120;

/** A colour token as something a canvas understands: light-dark() is resolved by an element's style. */
function resolved(element, token) {
  element.style.color = `var(${token})`;
  const value = getComputedStyle(element).color;
  element.style.color = "";
  return value;
}

function options(uPlot, element) {
  const [line, muted, grid, fill] = ["--accent", "--muted", "--line", "--accent-soft"].map((token) => resolved(element, token));
  const axis = { stroke: muted, font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    width: element.clientWidth, height: HEIGHT, padding: [8, 4, 0, 0], legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(5, high * 1.15)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, size: 24, values: "{HH}:{mm}" },
      { ...axis, grid: { stroke: grid, width: 1 }, space: 26, size: 38, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000] },
    ],
    series: [{}, { stroke: line, width: 2, fill, points: { show: false }, paths: uPlot.paths.spline?.() }],
  };
}

/** Draws into `element` until the returned function is called. */
function draw(uPlot, element, points) {
  let chart = null;
  let data = [[], []];
  const build = () => {
    chart?.destroy();
    chart = new uPlot(options(uPlot, element), data, element);
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", build);
  const resize = new ResizeObserver(() => {
    if (element.clientWidth && chart?.width !== element.clientWidth) chart?.setSize({ width: element.clientWidth, height: HEIGHT });
  });
  resize.observe(element);
  const show = (points) => {
    data = [points.map(([at]) => at / 1000), points.map(([, count]) => count)];
    if (chart) chart.setData(data);
    else build();
  };
  show(points);
  return {
    show,
    end() {
      dark.removeEventListener("change", build);
      resize.disconnect();
      chart?.destroy();
    },
  };
}

export function ViewersChart({ store }) {
  const { points } = useStore(store, (state) => state.viewers);
  const element = useRef(null);
  const chart = useRef(null);
  const newest = useRef(points);
  newest.current = points;
  const enough = points.length > 1;
  useEffect(() => {
    if (!enough) return undefined;
    let gone = false;
    import("../../vendor/uplot/uPlot.esm.js").then(({ default: uPlot }) => {
      if (!gone) chart.current = draw(uPlot, element.current, newest.current);
    });
    return () => {
      gone = true;
      chart.current?.end();
      chart.current = null;
    };
  }, [enough]);
  useEffect(() => chart.current?.show(points), [points]);
  const label = enough ? `${texts.stats.chart}: ${points.at(0)[1]} → ${points.at(-1)[1]}` : texts.stats.chart;
  return html`
    <figure class="chart" data-testid="viewers-chart" role="img" aria-label=${label}>
      <div class="chart-canvas" ref=${element}></div>
      ${!enough && html`<p class="chart-empty small quiet">${texts.stats.chartEmpty}</p>`}
    </figure>`;
}
