// What the router said, against what the annotation or the Metafile names.

function writeRouting(groups) {
  const named = byDomain(groups.filter((group) => group.routed.length));
  const rows = named.map(([domain, members]) => {
    const counts = new Map();
    for (const group of members)
      for (const [task, number] of group.routed) counts.set(task, (counts.get(task) ?? 0) + number);
    return { domain, counts, total: sum([...counts.values()]) };
  });
  const tasks = data.domains.filter((name, place) => rows.some((row) => row.counts.has(name) || row.domain === place));
  const right = sum(rows.map((row) => row.counts.get(data.domains[row.domain]) ?? 0));
  const all = sum(rows.map((row) => row.total));
  when("confusion-panel", rows.length);
  byId("confusion-note").textContent =
    `Rows: what the annotation or the Metafile says. Columns: what the router says. They agree on ${count(right)} of ${count(all)} (${percent(right, all)}).`;
  const cells = rows.map((row) => [
    data.domains[row.domain],
    ...tasks.map((task) => heat(row.counts.get(task) ?? 0, row.total, task === data.domains[row.domain])),
  ]);
  table(
    byId("confusion"),
    ["", ...tasks.map((task) => element("abbr", { title: task }, shortDomains[data.domains.indexOf(task)]))],
    cells,
  );
  showConfidence(groups);
}

function heat(number, total, agrees) {
  const strength = number === 0 ? "" : 2 * number > total ? "much" : "some";
  const cell = element(
    "span",
    { class: `heat ${agrees ? "agrees" : "differs"} ${strength}` },
    number ? count(number) : "·",
  );
  cell.style.setProperty("--share", total ? `${Math.round((100 * number) / total)}%` : "0%");
  return cell;
}

function showConfidence(groups) {
  const kinds = {
    agrees: ["Agrees with the named domain", "kept"],
    unnamed: ["No domain was named", "neutral"],
    differs: ["Differs from it", "alarm"],
  };
  const series = Object.entries(kinds).map(([kind, [name, paint]]) => {
    const values = Array(data.confidenceBins).fill(0);
    for (const group of groups) (group.confidence[kind] ?? []).forEach((number, place) => (values[place] += number));
    return { name, values, colour: paint };
  });
  const present = series.filter((one) => sum(one.values) > 0);
  when("confidence-panel", present.length);
  const width = 100 / data.confidenceBins;
  overview.confidence.show({
    labels: Array.from(
      { length: data.confidenceBins },
      (_, place) => `${Math.round(place * width)}–${Math.round((place + 1) * width)}%`,
    ),
    series: present,
  });
}
