// Charts with Chart.js, in the page's colours, each with its figures as a table for those who cannot see it.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const MARK_COLOURS = ["mark-1", "mark-2", "mark-3", "mark-4", "mark-5"];
const plots = [];

Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.plugins.legend.position = "bottom";
Chart.defaults.plugins.legend.labels.boxWidth = 12;
Chart.defaults.plugins.legend.labels.boxHeight = 12;
Chart.defaults.plugins.tooltip.mode = "index";
Chart.defaults.plugins.tooltip.intersect = false;
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.font.size = 12;

function paintDefaults() {
  Chart.defaults.color = colour("muted");
  Chart.defaults.borderColor = colour("line");
}

// One stacked bar chart. `show` takes {labels, series: [{name, values, colour}]}; colours are names of CSS variables.
class Plot {
  constructor(host, label, { horizontal = false, shares = false, x = "", y = "", height = 300, figure = count } = {}) {
    this.horizontal = horizontal;
    this.shares = shares;
    this.label = label;
    this.height = height;
    this.figure = figure;
    this.box = element("div", { class: "plot" });
    this.canvas = element("canvas", { role: "img", "aria-label": label });
    this.box.append(this.canvas);
    this.table = element("table", {});
    this.details = element(
      "details",
      { class: "figures" },
      element("summary", {}, "Figures"),
      element("div", { class: "scroll" }, this.table),
    );
    this.details.addEventListener("toggle", () => this.writeTable());
    fill(host, this.box, this.details);
    const value = horizontal ? "x" : "y";
    const title = (text) => ({ display: text !== "", text });
    this.chart = new Chart(this.canvas, {
      type: "bar",
      data: { labels: [], datasets: [] },
      options: {
        indexAxis: horizontal ? "y" : "x",
        scales: {
          x: { stacked: true, title: title(x), grid: { display: horizontal }, border: { display: false } },
          y: { stacked: true, title: title(y), grid: { display: !horizontal }, border: { display: false } },
        },
        plugins: { tooltip: { callbacks: { label: (item) => this.tip(item) } } },
      },
    });
    const axis = this.chart.options.scales[value];
    axis.beginAtZero = true;
    axis.ticks = shares
      ? { callback: (tick) => `${tick}%`, maxTicksLimit: 6 }
      : { callback: (tick) => compact(tick), precision: 0, maxTicksLimit: 6 };
    if (shares) axis.max = 100;
    if (!horizontal) this.chart.options.scales.x.ticks = { maxRotation: 0, autoSkipPadding: 12 };
    plots.push(this);
  }

  tip(item) {
    const series = this.shown.series[item.datasetIndex];
    const number = series.values[item.dataIndex];
    const all = sum(this.shown.series.map((other) => other.values[item.dataIndex]));
    return ` ${series.name}: ${this.figure(number)}${this.shares ? ` (${percent(number, all)})` : ""}`;
  }

  show(shown) {
    this.shown = shown;
    this.paint();
    this.writeTable();
  }

  paint() {
    if (!this.shown) return;
    const { labels, series } = this.shown;
    const rows = this.horizontal ? Math.max(this.height, 64 + 30 * labels.length) : this.height;
    this.box.style.height = `${rows}px`;
    const all = labels.map((_, place) => sum(series.map((one) => one.values[place])));
    const drawn = (one) =>
      this.shares ? one.values.map((number, place) => (all[place] ? (100 * number) / all[place] : 0)) : one.values;
    const { scales, plugins } = this.chart.options;
    for (const axis of [scales.x, scales.y]) {
      axis.grid.color = colour("line");
      axis.ticks.color = colour("muted");
      axis.title.color = colour("muted");
    }
    plugins.legend.labels = { color: colour("muted") };
    plugins.legend.display = series.length > 1;
    this.chart.data = {
      labels,
      datasets: series.map((one) => ({
        label: one.name,
        data: drawn(one),
        backgroundColor: colour(one.colour),
        maxBarThickness: this.horizontal ? 18 : 48,
        categoryPercentage: 0.9,
        barPercentage: this.horizontal ? 0.9 : 0.94,
        borderRadius: 2,
      })),
    };
    this.chart.resize();
    this.chart.update("none");
  }

  writeTable() {
    if (!this.details.open || !this.shown) return;
    const { labels, series } = this.shown;
    const rows = labels.map((label, place) => [label, ...series.map((one) => this.figure(one.values[place]))]);
    table(this.table, ["", ...series.map((one) => one.name)], rows);
  }
}

function repaint() {
  paintDefaults();
  for (const plot of plots) plot.paint();
}
