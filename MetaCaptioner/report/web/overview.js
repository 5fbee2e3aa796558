// Totals, thresholds and what they cost, domains and marks: all of one run, over all its records.

const run = () => data.runs[state.run];
const hasMarks = data.runs.some((one) =>
  one.groups.some((group) => group.cells.some((cell) => cell.kind === "marked")),
);
const hasTokens = data.runs.some((one) => Object.values(one.stages).some((stage) => stage.input + stage.output > 0));
const STEP = 1 / Math.min(10, Math.max(1, data.dimensions.length)); // overall marks are means of whole ones
const ofDimension = Object.entries(data.thresholds.ofDimension); // which no slider changes

const moneyOf = (one) => sum(Object.values(one.stages).map((stage) => stage.money ?? 0));
const gpuHoursOf = (one) => sum(Object.values(one.stages).map((stage) => stage.gpuHours ?? 0));

const overview = {};

function tile(name, figure, note, extra) {
  return element(
    "div",
    { class: "tile" },
    element("p", { class: "muted" }, name),
    element("p", { class: "figure" }, figure),
    element("p", { class: "muted" }, note),
    extra,
  );
}

function writeTiles(sums) {
  const bar = share(sums.kept, sums.count);
  const gpuHours = gpuHoursOf(run());
  fill(
    byId("tiles"),
    tile("Captions", compact(sums.captions), `of ${plural(sums.count, "sample")}`),
    hasMarks && tile("Kept", compact(sums.kept), `${percent(sums.kept, sums.count)} of the samples`, bar.firstChild),
    hasMarks && tile("Mean overall", fixed(sums.mean), `of ${plural(sums.marked, "marked caption")}`),
    tile("Failed", compact(sums.failed), percent(sums.failed, sums.count)),
    tile("Cut short", compact(sums.truncated), "ended at their token budget"),
    hasTokens && tile("Tokens", compact(sums.tokens), `${compact(sums.output)} of them written`),
    gpuHours > 0 &&
      state.domain < 0 &&
      state.dataset < 0 &&
      tile("GPU hours", fixed(gpuHours, gpuHours < 10 ? 2 : 0), "of all stages and ranks"),
  );
}

function writeLive(sums) {
  byId("kept-count").textContent = count(hasMarks ? sums.kept : sums.captions);
  byId("kept-of").textContent = hasMarks
    ? `of ${count(sums.count)} stay (${percent(sums.kept, sums.count)})`
    : `captions of ${count(sums.count)} samples, none marked yet`;
  byId("overall-value").textContent = state.overall.toFixed(1);
  byId("lowest-value").textContent = [state.lowest, ...ofDimension.map(([name, mark]) => `${name} ${mark}`)].join(", ");
}

function writeCost(sums) {
  const rejectedTokens = sums.tokens - sums.keptTokens;
  const everything = state.domain < 0 && state.dataset < 0;
  const lowMark = data.thresholds.claim === null ? "A single mark too low" : "A single mark or claims too low";
  const rows = [
    ["Kept", count(sums.kept), percent(sums.kept, sums.count)],
    ["Overall too low", count(sums.lowOverall), percent(sums.lowOverall, sums.count)],
    [lowMark, count(sums.lowMark), percent(sums.lowMark, sums.count)],
    ["No marks", count(sums.unmarked), percent(sums.unmarked, sums.count)],
    ["Failed", count(sums.failed), percent(sums.failed, sums.count)],
  ];
  const claims = sum(Object.values(sums.claims));
  if (claims > 0) {
    const doubtful = (sums.claims.contradicted ?? 0) + (sums.claims["not visible"] ?? 0);
    rows.push(["Claims that are not supported", count(doubtful), percent(doubtful, claims)]);
  }
  if (hasTokens) {
    rows.push(["Tokens spent on what is not kept", compact(rejectedTokens), percent(rejectedTokens, sums.tokens)]);
    rows.push(["Tokens spent for each kept caption", sums.kept ? compact(sums.tokens / sums.kept) : "–", ""]);
  }
  const gpuHours = gpuHoursOf(run());
  if (gpuHours > 0 && everything) {
    rows.push(["GPU hours for 1,000 kept captions", sums.kept ? fixed((1000 * gpuHours) / sums.kept) : "–", ""]);
  }
  const money = moneyOf(run());
  if (money > 0 && everything) {
    rows.push(["Paid for the tokens of 1,000 kept captions", sums.kept ? fixed((1000 * money) / sums.kept) : "–", ""]);
  }
  factTable(byId("cost-of-kept"), rows);
  const marks = [state.lowest, ...ofDimension.map(([name, mark]) => `${name}=${mark}`)];
  const lowest = marks.map((mark) => `--min-dim-score ${mark}`).join(" ");
  const claim = data.thresholds.claim === null ? "" : ` --min-claim ${data.thresholds.claim}`;
  const flags = `--min-overall ${state.overall} ${lowest}${claim}${state.whole ? " --drop-truncated" : ""}`;
  const folder = /^[\w./~-]+$/.test(run().folder) ? run().folder : `'${run().folder.replaceAll("'", "'\\''")}'`;
  byId("command").textContent = `python dataprocess/filterd_by_score.py --data-folder ${folder} ${flags}`;
}

function showOverall(groups) {
  const bins = Math.round(4 / STEP) + 1;
  const kept = Array(bins).fill(0);
  const rejected = Array(bins).fill(0);
  for (const group of groups) {
    for (const cell of group.cells) {
      if (cell.kind !== "marked") continue;
      const place = Math.min(bins - 1, Math.max(0, Math.round((cell.overall - 1) / STEP)));
      (isKept(cell) ? kept : rejected)[place] += cell.count;
    }
  }
  const labels = kept.map((_, place) => (1 + place * STEP).toFixed(1));
  const series = [
    { name: "Kept", values: kept, colour: "kept" },
    { name: "Rejected", values: rejected, colour: "rejected" },
  ];
  overview.overall.show({ labels, series });
}

const markSeries = (rows) =>
  MARK_COLOURS.map((name, place) => ({ name: `${place + 1}`, values: rows.map((row) => row[place]), colour: name }));

function showMarks(groups) {
  const dimension = byId("dimension").value;
  const domains = byDomain(groups);
  overview.domain.show({
    labels: domains.map(([domain]) => data.domains[domain]),
    series: markSeries(domains.map(([, members]) => marksOf(members, dimension))),
  });
  overview.dimension.show({
    labels: data.dimensions.map(capital),
    series: markSeries(data.dimensions.map((name) => marksOf(groups, name))),
  });
}

function weakest(groups) {
  const means = data.dimensions
    .map((name) => [meanMark(marksOf(groups, name)), name])
    .filter(([mean]) => mean !== null);
  means.sort((one, other) => one[0] - other[0]);
  return means.length && means[0][0] < means[means.length - 1][0] ? `${means[0][1]} ${fixed(means[0][0], 1)}` : "–";
}

function writeDomains(groups) {
  const heads = [
    "Domain",
    "Samples",
    "Kept",
    "Mean overall",
    "Weakest dimension",
    "Median words",
    "Tokens a sample",
    "Failed",
    "Cut short",
  ];
  const rows = byDomain(groups).map(([domain, members]) => {
    const sums = totals(members);
    return [
      data.domains[domain],
      { value: sums.count, text: count(sums.count) },
      { value: sums.count ? sums.kept / sums.count : 0, text: share(sums.kept, sums.count) },
      { value: sums.mean ?? 0, text: fixed(sums.mean) },
      weakest(members),
      { value: quantile(wordsOf(members), 0.5) ?? 0, text: count(quantile(wordsOf(members), 0.5) ?? 0) },
      { value: sums.tokens / sums.count, text: compact(sums.tokens / sums.count) },
      { value: sums.failed, text: count(sums.failed) },
      { value: sums.truncated, text: count(sums.truncated) },
    ];
  });
  const used = heads.map((head, place) => !((!hasMarks && [2, 3, 4].includes(place)) || (!hasTokens && place === 6)));
  sortableTable(
    byId("domain-table"),
    heads.filter((_, place) => used[place]),
    rows.map((row) => row.filter((_, place) => used[place])),
  );
}

// A table whose heads are buttons that sort it; the order stays when the rows change.
function sortableTable(host, heads, rows) {
  const order = (host.order ??= { place: 0, down: false, first: true });
  const value = (content) => (content && typeof content === "object" ? content.value : content);
  const compare = (one, other) => (typeof one === "number" ? one - other : String(one).localeCompare(String(other)));
  if (!order.first)
    rows.sort((one, other) => (order.down ? -1 : 1) * compare(value(one[order.place]), value(other[order.place])));
  table(host, heads, rows);
  host.querySelectorAll("thead tr > *").forEach((head, place) => {
    const sorted = !order.first && order.place === place;
    if (sorted) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    const sort = () => {
      Object.assign(order, { down: sorted ? !order.down : place > 0, place, first: false });
      sortableTable(host, heads, rows);
      host.querySelectorAll("thead button")[place].focus();
    };
    fill(
      head,
      element(
        "button",
        { type: "button", onclick: sort },
        heads[place],
        element("span", { "aria-hidden": "true" }, sorted ? (order.down ? " ↓" : " ↑") : ""),
      ),
    );
  });
}

function updateOverview() {
  const groups = groupsOf(run());
  const sums = totals(groups);
  writeLive(sums);
  writeTiles(sums);
  writeCost(sums);
  writeDomains(groups);
  if (hasMarks) showOverall(groups);
  if (hasMarks) showMarks(groups);
  writeRouting(groups);
  showLengths(groups);
  showTokens(groups);
  writeErrors(groups);
  writeStages();
}

function startOverview() {
  when("marks", hasMarks);
  when("threshold-panel", hasMarks);
  when("cost-panel", hasMarks);
  overview.overall = new Plot(byId("overall-plot"), "Captions by overall mark, kept and rejected", {
    x: "Overall mark",
    y: "Captions",
  });
  overview.domain = new Plot(byId("domain-plot"), "Marks by domain", { horizontal: true, shares: true });
  overview.dimension = new Plot(byId("dimension-plot"), "Marks by dimension", { horizontal: true, shares: true });
  overview.confidence = new Plot(byId("confidence-plot"), "Samples by the router's confidence", {
    x: "Confidence",
    y: "Samples",
  });
  overview.length = new Plot(byId("length-plot"), "Captions by number of words", { x: "Words", y: "Captions" });
  overview.tokens = new Plot(byId("token-plot"), "Tokens a sample by domain", { horizontal: true });
  options(
    byId("dimension"),
    ["overall", ...data.dimensions].map((name) => [name, capital(name)]),
    "overall",
  );
  byId("dimension").addEventListener("change", () => showMarks(groupsOf(run())));
  byId("copy").addEventListener("click", async () => {
    const selection = getSelection();
    selection.selectAllChildren(byId("command")); // what is left where a page from a file may not use the clipboard
    await navigator.clipboard?.writeText(byId("command").textContent).catch(() => {});
  });
  onChange(updateOverview);
}
