// Puts the parts together: the head of the page, the controls that all parts obey, and the colours.

function writeHead() {
  const [first] = data.runs;
  byId("title").textContent = comparing ? `${first.folder} and ${data.runs[1].folder}` : first.folder;
  const samples = sum(first.groups.map((group) => sum(group.cells.map((cell) => cell.count))));
  const prompts = first.prompts.length ? `prompts ${first.prompts.join(", ")}` : null;
  const facts = [
    plural(samples, "sample"),
    plural(data.datasets.length, "dataset"),
    comparing ? null : first.models.join(", "),
    comparing ? null : prompts,
    ...data.judges,
    `made ${data.made}`,
  ];
  byId("facts").textContent = facts.filter(Boolean).join(" · ");
  const sections = [
    ["overview", "Overview"],
    ["comparison", "A and B"],
    ["domains", "Domains"],
    ["marks", "Marks"],
    ["gallery", "Samples"],
    ["questions", "Questions"],
    ["routing", "Routing"],
    ["lengths", "Lengths"],
    ["errors", "Errors"],
  ];
  fill(
    byId("sections"),
    ...sections.filter(([id]) => !byId(id).hidden).map(([id, name]) => element("a", { href: `#${id}` }, name)),
  );
}

function startControls() {
  const named = (names) => [[-1, "all"], ...names.map((name, place) => [place, name])];
  options(byId("domain"), named(data.domains), -1);
  options(byId("dataset"), named(data.datasets), -1);
  byId("min-overall").value = state.overall;
  byId("min-dim-score").value = state.lowest;
  const read = (id, name, value) =>
    byId(id).addEventListener("input", (event) => change({ [name]: value(event.target) }));
  read("min-overall", "overall", (input) => Number(input.value));
  read("min-dim-score", "lowest", (input) => Number(input.value));
  read("whole", "whole", (input) => input.checked);
  read("domain", "domain", (input) => Number(input.value));
  read("dataset", "dataset", (input) => Number(input.value));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const control of document.querySelectorAll(".slider, .controls .check")) control.hidden = !hasMarks;
}

// Begins as the reader's system is set, and follows it until the button is pressed.
function startTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const use = (theme) => {
    root.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
    repaint();
  };
  byId("theme").addEventListener("click", () => use(root.dataset.theme === "dark" ? "light" : "dark"));
  system.addEventListener("change", () => use(system.matches ? "dark" : "light"));
  use(system.matches ? "dark" : "light");
}

startTheme();
startControls();
startOverview();
startComparison();
startGallery();
startDetail();
startQuestions();
change({});
writeHead();
