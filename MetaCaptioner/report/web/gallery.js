// The chosen samples: filtered and sorted, some at a time.

const gallery = { shown: 0, found: [] };
const isBeside = () => comparing && byId("beside").checked;
const pageSize = () => (isBeside() ? 8 : 20);

const here = (sample) => sample.captions[state.run] ?? sample.captions[0] ?? sample.captions[1];
const gain = (sample) => {
  const [a, b] = sample.captions;
  return a?.overall && b?.overall ? b.overall - a.overall : null;
};
const number = (value, missing) => (value === null || value === undefined ? missing : value);

const SORTS = {
  mixed: ["a mix", () => 0],
  low: ["overall, low first", (sample) => number(here(sample).overall, 9)],
  high: ["overall, high first", (sample) => -number(here(sample).overall, 0)],
  unsure: ["router's confidence", (sample) => number(here(sample).confidence, 9)],
  doubts: ["claims, doubtful first", (sample) => number(supportedShare(here(sample)), 9)],
  long: ["longest caption", (sample) => -here(sample).words],
  short: ["shortest caption", (sample) => here(sample).words],
  domain: ["domain", (sample) => data.domains.indexOf(here(sample).domain)],
  dataset: ["dataset", (sample) => data.datasets.indexOf(sample.dataset)],
  gain: ["B gains most", (sample) => -number(gain(sample), -9), true],
  loss: ["B loses most", (sample) => number(gain(sample), 9), true],
};

const some = (answer) => (claims) => claims?.some((claim) => claim.answer === answer);
const CLAIMS = {
  "": ["any", () => true],
  supported: ["all supported", (claims) => claims?.every((claim) => claim.answer === "supported")],
  contradicted: ["some contradicted", some("contradicted")],
  unseen: ["some not visible", some("not visible")],
  unanswered: ["some unanswered", some("unanswered")],
  dropped: ["some dropped", (claims) => claims?.some((claim) => claim.dropped)],
  unchecked: ["not checked", (claims) => claims === null],
};
const supportedShare = (caption) => {
  const answered = (caption.claims ?? []).filter((claim) => claim.answer !== "unanswered");
  return answered.length ? answered.filter((claim) => claim.answer === "supported").length / answered.length : null;
};

const LEVELS = { "": "any", 1: "1 to under 2", 2: "2 to under 3", 3: "3 to under 4", 4: "4 to under 5", 5: "5" };
const CHANGES = { better: "B is better", worse: "A is better", same: "The same overall" };

function textOf(sample) {
  return (sample.text ??= [
    sample.id,
    sample.media,
    ...sample.captions
      .filter(Boolean)
      .flatMap((one) => [one.caption, one.reason ?? "", ...one.agents.map((agent) => agent.text)]),
  ]
    .join("\n")
    .toLowerCase());
}

function hasStatus(sample, status) {
  if (status === "" || statusOf(here(sample)) === status) return true;
  const [a, b] = sample.captions;
  return (
    status in CHANGES &&
    a !== null &&
    b !== null &&
    changeOf({ ...a, kind: a.state }, { ...b, kind: b.state }) === status
  );
}

function findSamples() {
  const words = byId("search").value.trim().toLowerCase();
  const [status, level, claims, sort] = ["status", "level", "claims", "sort"].map((id) => byId(id).value);
  const found = data.gallery.filter((sample) => {
    const caption = here(sample);
    return (
      inFilter(data.domains.indexOf(caption.domain), data.datasets.indexOf(sample.dataset)) &&
      hasStatus(sample, status) &&
      CLAIMS[claims][1](caption.claims) &&
      (level === "" || Math.floor(caption.overall ?? 0) === Number(level)) &&
      (words === "" || textOf(sample).includes(words))
    );
  });
  const key = SORTS[sort][1];
  return found.sort((one, other) => key(one) - key(other));
}

function picture(sample, large = false) {
  if (!sample.picture) {
    return element(
      "div",
      { class: "picture missing" },
      element("span", {}, "No picture"),
      large && element("small", {}, sample.problem ?? ""),
    );
  }
  const alternative = `${sample.modality === "video" ? "Four frames of" : "Picture"} ${sample.id}`;
  return element(
    "div",
    { class: "picture" },
    element("img", { src: sample.picture, alt: alternative, width: sample.width, height: sample.height }),
    sample.modality === "video" && element("span", { class: "badge" }, "video"),
  );
}

function pill(caption) {
  const status = statusOf(caption);
  return element("span", { class: `pill ${status}` }, STATUS_NAMES[status]);
}

function overallBadge(caption) {
  return caption.overall === null
    ? null
    : element("span", { class: "overall", title: "Overall mark" }, caption.overall.toFixed(1));
}

function captionText(caption) {
  return caption.error && caption.state === "failed"
    ? element("p", { class: "caption error" }, element("code", {}, caption.error.kind), ` ${caption.error.message}`)
    : element("p", { class: "caption" }, caption.caption);
}

function opener(sample) {
  return element("button", { type: "button", class: "opener", onclick: () => openDetail(sample) }, sample.id);
}

function card(sample) {
  const caption = here(sample);
  return element(
    "article",
    { class: "card", "data-id": sample.id },
    picture(sample),
    element(
      "div",
      { class: "card-body" },
      element("div", { class: "card-head" }, opener(sample), pill(caption), overallBadge(caption)),
      captionText(caption),
      element("p", { class: "muted" }, caption.domain),
    ),
  );
}

function side(caption, place) {
  const head = element(
    "div",
    { class: "card-head" },
    element("span", { class: `run run-${place}` }, "AB"[place]),
    caption && pill(caption),
    caption && overallBadge(caption),
  );
  if (!caption) return element("div", { class: "side" }, head, element("p", { class: "muted" }, "Not in this run."));
  return element(
    "div",
    { class: "side" },
    head,
    captionText(caption),
    caption.reason && element("p", { class: "reason" }, caption.reason),
  );
}

function pairCard(sample) {
  const gained = gain(sample);
  const note = gained === null ? here(sample).domain : `${here(sample).domain} · B − A: ${signed(gained, 1)}`;
  return element(
    "article",
    { class: "card pair", "data-id": sample.id },
    element(
      "div",
      {},
      picture(sample),
      element(
        "div",
        { class: "card-body" },
        element("div", { class: "card-head" }, opener(sample)),
        element("p", { class: "muted" }, note),
      ),
    ),
    ...sample.captions.map(side),
  );
}

function showCards() {
  const beside = isBeside();
  gallery.shown = Math.max(gallery.shown, pageSize());
  byId("cards").classList.toggle("pairs", beside);
  fill(byId("cards"), ...gallery.found.slice(0, gallery.shown).map(beside ? pairCard : card));
  const left = gallery.found.length - gallery.shown;
  when("more", left > 0);
  when("no-cards", gallery.found.length === 0);
  byId("more").textContent = `Show more (${plural(left, "sample")} left)`;
  byId("gallery-note").textContent =
    `${count(gallery.found.length)} of ${plural(data.gallery.length, "sample")} chosen from all domains and levels of marks.`;
}

function updateGallery() {
  gallery.found = findSamples();
  showCards();
}

function startGallery() {
  const changes = comparing ? Object.entries(CHANGES) : [];
  options(byId("status"), [["", "any"], ...Object.entries(STATUS_NAMES), ...changes], "");
  options(
    byId("level"),
    Object.entries(LEVELS).sort((one, other) => one[0].localeCompare(other[0])),
    "",
  );
  const checked = data.gallery.some((sample) => sample.captions.some((caption) => caption?.claims));
  options(
    byId("claims"),
    Object.entries(CLAIMS).map(([name, claims]) => [name, claims[0]]),
    "",
  );
  when("claims-label", checked);
  options(
    byId("sort"),
    Object.entries(SORTS)
      .filter(([name, sort]) => (comparing || !sort[2]) && (checked || name !== "doubts"))
      .map(([name, sort]) => [name, sort[0]]),
    "mixed",
  );
  when("beside-label", comparing);
  byId("level").parentElement.hidden = !hasMarks;
  for (const id of ["search", "status", "level", "claims", "sort", "beside"]) {
    byId(id).addEventListener("input", () => {
      gallery.shown = 0;
      updateGallery();
    });
  }
  byId("more").addEventListener("click", () => {
    gallery.shown += 2 * pageSize();
    showCards();
  });
  onChange(updateGallery);
}
