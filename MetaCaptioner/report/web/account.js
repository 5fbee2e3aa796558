// How long captions are, what they took, and what failed.

function showLengths(groups) {
  const counts = wordsOf(groups);
  const longest = Math.max(1, quantile(counts, 0.995) ?? 1);
  const width =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((size) => longest / size <= 24) ?? Math.ceil(longest / 24);
  const bins = Math.floor(longest / width) + 1;
  const values = Array(bins).fill(0);
  for (const [words, number] of counts) values[Math.min(bins - 1, Math.floor(words / width))] += number;
  const more = counts.length && counts[counts.length - 1][0] >= bins * width;
  const label = (place) =>
    more && place === bins - 1
      ? `${place * width}+`
      : width === 1
        ? `${place}`
        : `${place * width}–${(place + 1) * width - 1}`;
  overview.length.show({
    labels: values.map((_, place) => label(place)),
    series: [{ name: "Captions", values, colour: "accent" }],
  });
  const [low, median, high] = [0.1, 0.5, 0.9].map((part) => quantile(counts, part) ?? 0);
  byId("length-note").textContent =
    `Half have at most ${plural(median, "word")}; eight in ten have ${count(low)} to ${count(high)}.`;
}

function showTokens(groups) {
  when("token-panel", hasTokens);
  const domains = byDomain(groups).map(([domain, members]) => [data.domains[domain], totals(members)]);
  const each = (name) =>
    domains.map(([, sums]) => Math.round((name === "fresh" ? sums.input - sums.cached : sums[name]) / sums.count));
  const series = [
    { name: "Read", values: each("fresh"), colour: "accent" },
    { name: "Read from the cache", values: each("cached"), colour: "neutral" },
    { name: "Written", values: each("output"), colour: "warm" },
  ];
  overview.tokens.show({ labels: domains.map(([name]) => name), series: series.filter((one) => sum(one.values) > 0) });
}

function writeErrors(groups) {
  const kinds = new Map();
  for (const group of groups) {
    for (const [stage, kind, number] of group.errors) {
      const key = JSON.stringify([stage, kind]);
      const found = kinds.get(key) ?? { stage, kind, total: 0, datasets: new Map() };
      found.total += number;
      found.datasets.set(group.dataset, (found.datasets.get(group.dataset) ?? 0) + number);
      kinds.set(key, found);
    }
  }
  const sorted = [...kinds.values()].sort((one, other) => other.total - one.total);
  when("no-errors", sorted.length === 0);
  byId("error-table").hidden = sorted.length === 0;
  const rows = sorted.map(({ stage, kind, total, datasets }) => {
    const [most] = [...datasets].sort((one, other) => other[1] - one[1]);
    const [, , examples] = run().examples.find((entry) => entry[0] === stage && entry[1] === kind) ?? [null, null, []];
    const shown = element(
      "details",
      {},
      element("summary", {}, `${data.datasets[most[0]]} (${count(most[1])})`),
      ...examples.map((one) => element("p", { class: "message" }, element("strong", {}, one.id), ` ${one.message}`)),
    );
    return [element("code", {}, kind), stage, count(total), shown];
  });
  table(byId("error-table"), ["Kind", "Stage", "Samples", "Most in dataset"], rows, { numbers: false });
}

function writeStages() {
  const names = { route: "Route", caption: "Caption", score: "Score", resample: "Sampled again" };
  const stages = Object.keys(names)
    .filter((name) => run().stages[name])
    .map((name) => [name, run().stages[name]]);
  const columns = [
    ["Records", (stage) => count(stage.records), (stage) => stage.records],
    ["Tokens read", (stage) => compact(stage.input), (stage) => stage.input],
    ["From the cache", (stage) => percent(stage.cached, stage.input), (stage) => stage.input],
    ["Tokens written", (stage) => compact(stage.output), (stage) => stage.output],
    ["Seconds in flight", (stage) => fixed(stage.seconds / stage.records, 1), (stage) => stage.seconds],
    ["GPU hours", (stage) => fixed(stage.gpuHours), (stage) => stage.gpuHours],
    ["Paid for tokens", (stage) => fixed(stage.money), (stage) => stage.money],
  ].filter(([, , there]) => stages.some(([, stage]) => there(stage)));
  const models = Object.entries(run().byModel);
  const rows = [...stages.map(([name, stage]) => [names[name], stage]), ...models].map(([name, stage]) => [
    name,
    ...columns.map(([, text, there]) => (there(stage) ? text(stage) : "–")),
  ]);
  table(byId("stage-table"), ["Stage", ...columns.map(([name]) => name)], rows);
}
