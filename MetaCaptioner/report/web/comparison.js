// Two runs over the same data: what changed from A to B, sample by sample.

let changePlot = null;

function pairsInFilter() {
  return data.comparison.pairs
    .filter(([domain, dataset]) => inFilter(domain, dataset))
    .map(([domain, , here, there, number]) => ({ domain, number, a: captionOfCode(here), b: captionOfCode(there) }));
}

function changeOf(a, b) {
  if (a.kind !== "marked" || b.kind !== "marked") return null;
  return b.overall > a.overall ? "better" : b.overall < a.overall ? "worse" : "same";
}

function showChanges(pairs) {
  const domains = [...new Set(pairs.map((pair) => pair.domain))].sort((one, other) => one - other);
  const values = (kind) =>
    domains.map((domain) =>
      sum(
        pairs.filter((pair) => pair.domain === domain && changeOf(pair.a, pair.b) === kind).map((pair) => pair.number),
      ),
    );
  const kinds = [
    ["worse", "A is better", "accent"],
    ["same", "The same", "neutral"],
    ["better", "B is better", "warm"],
  ];
  changePlot.show({
    labels: domains.map((domain) => data.domains[domain]),
    series: kinds.map(([kind, name, paint]) => ({ name, values: values(kind), colour: paint })),
  });
}

function writeComparison() {
  const sides = data.runs.map((one) => groupsOf(one));
  const sums = sides.map(totals);
  const row = (name, values, show, digits) => {
    const there = values.every((value) => value !== null && value !== undefined);
    return [
      name,
      ...values.map((value) => (value === null || value === undefined ? "–" : show(value))),
      there ? signed(values[1] - values[0], digits) : "–",
    ];
  };
  const words = sides.map((groups) => quantile(wordsOf(groups), 0.5));
  const rows = [
    row(
      "Captions",
      sums.map((one) => one.captions),
      count,
      0,
    ),
    row(
      "Failed",
      sums.map((one) => one.failed),
      count,
      0,
    ),
    hasMarks &&
      row(
        "Kept at these thresholds",
        sums.map((one) => one.kept),
        count,
        0,
      ),
    hasMarks &&
      row(
        "Mean overall",
        sums.map((one) => one.mean),
        fixed,
        2,
      ),
    ...(hasMarks
      ? data.dimensions.map((name) =>
          row(
            capital(name),
            sides.map((groups) => meanMark(marksOf(groups, name))),
            fixed,
            2,
          ),
        )
      : []),
    row("Median words", words, count, 0),
    hasTokens &&
      row(
        "Tokens a sample",
        sums.map((one) => (one.count ? one.tokens / one.count : null)),
        count,
        0,
      ),
  ].filter(Boolean);
  table(byId("comparison-table"), ["", "A", "B", "B − A"], rows);
}

function writeKeptByBoth(pairs) {
  const sums = { both: 0, a: 0, b: 0, neither: 0 };
  for (const { a, b, number } of pairs)
    sums[isKept(a) ? (isKept(b) ? "both" : "a") : isKept(b) ? "b" : "neither"] += number;
  const absent = data.comparison.onlyA + data.comparison.onlyB;
  byId("comparison-kept").textContent =
    `Kept at these thresholds: in both runs ${count(sums.both)}, only in A ${count(sums.a)}, only in B ${count(sums.b)}, in neither ${count(sums.neither)}.` +
    (absent ? ` Not in both runs: ${plural(absent, "sample")}.` : "");
}

function updateComparison() {
  const pairs = pairsInFilter();
  showChanges(pairs);
  writeComparison();
  writeKeptByBoth(pairs);
}

function startComparison() {
  if (!comparing) return;
  when("comparison", true);
  when("runs", true);
  fill(
    byId("comparison-runs"),
    ...data.runs.flatMap((one, place) => [
      element("span", { class: `run run-${place}` }, "AB"[place]),
      element("code", {}, one.folder),
      element("span", { class: "muted" }, one.models.join(", ")),
    ]),
  );
  changePlot = new Plot(byId("change-plot"), "Which run has the higher overall mark, by domain", {
    horizontal: true,
    shares: true,
  });
  byId("runs").addEventListener("change", (event) => change({ run: Number(event.target.value) }));
  onChange(updateComparison);
}
