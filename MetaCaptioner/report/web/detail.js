// One sample with all that is known of it: route, every agent's text, the caption, marks and the judge's reason.

let opened = null;

function routeText(caption) {
  const place = [caption.domain, caption.subdomain].filter(Boolean).join(" › ");
  const by = { router: "the router", metafile: "the Metafile", row: "the annotation" }[caption.source];
  const confidence = caption.confidence === null ? "" : ` with ${percent(caption.confidence, 1)} confidence`;
  const next = caption.runnerUp
    ? `, before ${caption.runnerUp.task} with ${percent(caption.runnerUp.task_confidence, 1)}`
    : "";
  if (caption.source === "router") return `${place}, by the router${confidence}${next}`;
  const said =
    caption.routed === null
      ? ""
      : caption.routed === caption.domain
        ? `; the router agrees${confidence}`
        : `; the router says ${caption.routed}${confidence}`;
  return `${place}${by ? `, by ${by}` : ""}${said}`;
}

function markRow(name, mark) {
  const meter = element(
    "span",
    { class: "meter", "aria-hidden": "true" },
    ...[1, 2, 3, 4, 5].map((step) => element("i", { class: step <= mark ? `on mark-${mark}` : null })),
  );
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, capital(name)),
    element("td", {}, meter),
    element("td", { class: "number" }, String(mark)),
  );
}

function marks(caption) {
  if (!caption.scores) return null;
  return element(
    "div",
    { class: "marks" },
    element("table", {}, element("tbody", {}, ...Object.entries(caption.scores).map(([name, mark]) => markRow(name, mark)))),
    element("blockquote", {}, caption.reason || "The judge gave no reason."),
  );
}

function agents(caption) {
  if (!caption.agents.length) return null;
  const one = (agent) => {
    const note = [
      agent.tokens ? plural(agent.tokens, "token") : null,
      agent.finish === "length" ? "cut at its budget" : null,
    ]
      .filter(Boolean)
      .join(", ");
    return element(
      "div",
      { class: "agent" },
      element("h4", {}, agent.name, " ", element("span", { class: "muted" }, note)),
      element("p", {}, agent.text),
    );
  };
  return element(
    "details",
    { open: caption.agents.length > 0 && !comparing },
    element("summary", {}, plural(caption.agents.length, "agent")),
    ...caption.agents.map(one),
  );
}

function claimMark(claim) {
  const shares = Object.entries(claim.shares).map(([answer, share]) => `${answer} ${percent(share, 1)}`);
  const title = [shares.join(", ") || claim.answer, claim.dropped && "dropped"].filter(Boolean).join("; ");
  const tag = claim.dropped ? "del" : "span";
  return element(tag, { class: `claim ${claim.answer.replace(" ", "-")}`, title }, claim.text);
}

function claims(caption) {
  if (!caption.claims) return null;
  const supported = caption.claims.filter((claim) => claim.answer === "supported").length;
  return element(
    "details",
    { open: true },
    element("summary", {}, `${supported} of ${plural(caption.claims.length, "claim")} supported`),
    element("ul", { class: "claims" }, ...caption.claims.map((claim) => element("li", {}, claimMark(claim)))),
  );
}

function facts(caption) {
  const spent = caption.tokens[0] + caption.tokens[2];
  const parts = [
    caption.model,
    plural(caption.words, "word"),
    spent ? plural(spent, "token") : null,
    caption.attempts > 1 ? plural(caption.attempts, "attempt") : null,
    caption.truncated ? "cut at its token budget" : null,
  ];
  return parts.filter(Boolean).join(" · ");
}

function captionDetail(caption, place) {
  const head = element(
    "div",
    { class: "card-head" },
    comparing && element("span", { class: `run run-${place}` }, "AB"[place]),
    caption && pill(caption),
    caption && overallBadge(caption),
  );
  if (!caption)
    return element("section", { class: "caption-detail" }, head, element("p", { class: "muted" }, "Not in this run."));
  const problem =
    caption.error && caption.state !== "failed"
      ? element("p", { class: "caption error" }, element("code", {}, caption.error.kind), ` ${caption.error.message}`)
      : null;
  return element(
    "section",
    { class: "caption-detail" },
    head,
    captionText(caption),
    problem,
    claims(caption),
    marks(caption),
    element("p", { class: "muted" }, routeText(caption)),
    agents(caption),
    element("p", { class: "muted small" }, facts(caption)),
  );
}

function openDetail(sample) {
  opened = sample;
  byId("detail-title").textContent = sample.id;
  fill(
    byId("detail-body"),
    element(
      "div",
      { class: "detail-picture" },
      picture(sample, true),
      element("p", { class: "muted small" }, sample.media),
    ),
    element(
      "div",
      { class: comparing ? "detail-captions two" : "detail-captions" },
      ...sample.captions.map(captionDetail),
    ),
  );
  const place = gallery.found.indexOf(sample);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place >= gallery.found.length - 1;
  if (!byId("detail").open) byId("detail").showModal();
  byId("detail").scrollTop = 0;
}

function step(by) {
  const next = gallery.found[gallery.found.indexOf(opened) + by];
  if (next) openDetail(next);
}

function startDetail() {
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => byId("detail").close());
  byId("detail").addEventListener("click", (event) => event.target === byId("detail") && byId("detail").close());
  byId("detail").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}
