// What the page knows, what is asked of it now, and the sums over all records that answer.

const data = JSON.parse(document.getElementById("data").textContent);
const comparing = data.runs.length > 1;

const state = {
  overall: data.thresholds.overall,
  lowest: data.thresholds.lowest,
  whole: false, // reject captions that were cut
  domain: -1, // places in data.domains and data.datasets; -1 is all of them
  dataset: -1,
  run: 0,
};

const listeners = [];

function onChange(listener) {
  listeners.push(listener);
}

function change(changes) {
  Object.assign(state, changes);
  for (const listener of listeners) listener();
}

// The order of the numbers in a row of cells, as summary.py writes it.
function cellOf(row) {
  const [kind, overall, lowest, truncated, below, count, input, cached, output, words, seconds] = row;
  return { kind, overall, lowest, truncated, below, count, input, cached, output, words, seconds };
}

for (const run of data.runs) for (const group of run.groups) group.cells = group.cells.map(cellOf);

// The same rule as filterd_by_score.py: thresholds are the lowest values that pass. `below` says whether a mark is too
// low for the threshold of its own dimension, or too few claims are supported, where the page was made with such.
function isKept(caption) {
  const kind = caption.kind ?? caption.state;
  if (kind !== "marked" || caption.below || (state.whole && caption.truncated)) return false;
  return caption.overall >= state.overall && caption.lowest >= state.lowest;
}

function statusOf(caption) {
  const kind = caption.kind ?? caption.state;
  return kind === "marked" ? (isKept(caption) ? "kept" : "rejected") : kind;
}

const STATUS_NAMES = { kept: "Kept", rejected: "Rejected", unmarked: "No marks", failed: "Failed" };

function inFilter(domain, dataset) {
  return (state.domain < 0 || state.domain === domain) && (state.dataset < 0 || state.dataset === dataset);
}

function groupsOf(run) {
  return run.groups.filter((group) => inFilter(group.domain, group.dataset));
}

function byDomain(groups) {
  const found = new Map();
  for (const group of groups) found.set(group.domain, [...(found.get(group.domain) ?? []), group]);
  return [...found].sort((one, other) => one[0] - other[0]);
}

// Sums over the cells of groups: captions by status, and tokens of all and of the kept ones.
function totals(groups) {
  const sums = {
    count: 0,
    kept: 0,
    rejected: 0,
    unmarked: 0,
    failed: 0,
    truncated: 0,
    overall: 0,
    words: 0,
    seconds: 0,
  };
  Object.assign(sums, { input: 0, cached: 0, output: 0, keptTokens: 0, lowOverall: 0, lowMark: 0, claims: {} });
  for (const group of groups) {
    for (const [answer, count] of Object.entries(group.claims)) sums.claims[answer] = (sums.claims[answer] ?? 0) + count;
    for (const cell of group.cells) {
      const status = statusOf(cell);
      sums.count += cell.count;
      sums[status] += cell.count;
      if (cell.truncated) sums.truncated += cell.count;
      if (cell.kind === "marked") {
        sums.overall += cell.overall * cell.count;
        if (cell.overall < state.overall) sums.lowOverall += cell.count;
        if (cell.below || cell.lowest < state.lowest) sums.lowMark += cell.count;
      }
      for (const name of ["input", "cached", "output", "words", "seconds"]) sums[name] += cell[name];
      if (status === "kept") sums.keptTokens += cell.input + cell.output;
    }
  }
  sums.captions = sums.count - sums.failed;
  sums.marked = sums.kept + sums.rejected;
  sums.mean = sums.marked ? sums.overall / sums.marked : null;
  sums.tokens = sums.input + sums.output;
  return sums;
}

// Counts of marks 1 to 5 of one dimension, or of the overall mark rounded to whole marks.
function marksOf(groups, dimension) {
  const counts = [0, 0, 0, 0, 0];
  for (const group of groups) {
    if (dimension === "overall") {
      for (const cell of group.cells) {
        if (cell.kind === "marked") counts[Math.min(5, Math.max(1, Math.round(cell.overall))) - 1] += cell.count;
      }
    } else {
      (group.marks[dimension] ?? []).forEach((count, place) => (counts[place] += count));
    }
  }
  return counts;
}

function meanMark(counts) {
  const total = sum(counts);
  return total ? sum(counts.map((count, place) => count * (place + 1))) / total : null;
}

function wordsOf(groups) {
  const counts = new Map();
  for (const group of groups)
    for (const [words, count] of group.words) counts.set(words, (counts.get(words) ?? 0) + count);
  return [...counts].sort((one, other) => one[0] - other[0]);
}

// The value below which a share of the counted ones lies; `counts` are sorted pairs of value and count.
function quantile(counts, share) {
  const total = sum(counts.map((pair) => pair[1]));
  let seen = 0;
  for (const [value, count] of counts) {
    seen += count;
    if (seen >= share * total) return value;
  }
  return null;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

// comparison.py's number for a caption: ((overall in hundredths * 8) + lowest mark) * 8 + below * 4 + truncated * 2 + 1.
function captionOfCode(code) {
  const overall = Math.floor(code / 64) / 100;
  const lowest = Math.floor(code / 8) % 8;
  const [below, truncated] = [Math.floor(code / 4) % 2 === 1, Math.floor(code / 2) % 2 === 1];
  return { kind: overall ? "marked" : "unmarked", overall, lowest, below, truncated };
}
