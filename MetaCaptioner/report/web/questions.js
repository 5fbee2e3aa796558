// What the captions are worth to somebody who has to answer questions: the table, and questions with all answers.

const evaluation = data.evaluation;
const VARIANT_NAMES = {
  captions: "From captions",
  one_prompt: "From one prompt's captions",
  none: "Without a caption",
  picture: "From the picture",
};
const RIGHT = 0.5;
const asked = { shown: 0, found: [] };

const markOf = (question, variant) => question.answers.find((answer) => answer.variant === variant)?.mark ?? null;
const isRight = (question, variant) => (markOf(question, variant) ?? 0) >= RIGHT;

const QUESTION_KINDS = {
  "": ["any", () => true],
  right: ["right from captions", (question) => isRight(question, "captions")],
  wrong: ["wrong from captions", (question) => !isRight(question, "captions")],
  guessed: ["right without a caption", (question) => isRight(question, "none")],
  only: ["right from captions alone", (question) => isRight(question, "captions") && !isRight(question, "none")],
};

function cellText(cell) {
  return cell ? `${fixed(cell.mean, 1)} (${fixed(cell.low, 1)}–${fixed(cell.high, 1)})` : "–";
}

function costText(cost) {
  const hours = cost.gpu_hours === null ? null : `${fixed(cost.gpu_hours, 3)} GPU h`;
  const money = cost.money === null ? null : fixed(cost.money, 2);
  return [hours, money].filter((part) => part !== null).join(" = ") || "–";
}

function writeEvaluation() {
  const { columns, lines, notes } = evaluation.table;
  table(
    byId("evaluation-table"),
    ["", ...columns, "Mean", "Cost"],
    lines.map((line) => [
      line.label,
      ...columns.map((name) => cellText(line.cells[name])),
      cellText(line.mean),
      costText(line.cost),
    ]),
  );
  fill(byId("evaluation-notes"), ...notes.map((note) => element("p", { class: "muted" }, note)));
}

function answerRow(answer) {
  const said = answer.problem ?? answer.answer;
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, VARIANT_NAMES[answer.variant] ?? answer.variant),
    element("td", { class: "said" }, said),
    element("td", { class: "said" }, answer.problem === null ? answer.taken : ""),
    element("td", { class: "number" }, `${fixed(answer.mark)}${answer.judged ? " (judge)" : ""}`),
  );
}

function questionCard(question) {
  const heads = ["", "Answer", "Taken", "Mark"];
  const caption = (text, place, all) =>
    element("p", { class: "said" }, all.length > 1 ? `Picture ${place + 1}: ` : "", text || "There is no caption.");
  return element(
    "article",
    { class: "panel question", "data-id": question.id },
    element(
      "div",
      { class: "card-head" },
      element("span", { class: `pill ${isRight(question, "captions") ? "kept" : "rejected"}` }, isRight(question, "captions") ? "Right" : "Wrong"),
      element("strong", {}, question.id),
      element("span", { class: "muted" }, [question.benchmark, question.category].filter(Boolean).join(" · ")),
    ),
    element("p", { class: "said" }, question.question),
    question.options.length > 0 &&
      element("ul", {}, ...question.options.map(([letter, text]) => element("li", {}, `${letter}. ${text}`))),
    element("p", {}, element("strong", {}, "Right: "), question.truth.join(" or ")),
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, ...question.answers.map(answerRow)),
    ),
    question.captions.length > 0 &&
      element(
        "details",
        {},
        element("summary", {}, plural(question.captions.length, "caption")),
        ...question.captions.map(caption),
      ),
  );
}

function showQuestions(more = 0) {
  const words = byId("question-search").value.trim().toLowerCase();
  const keep = QUESTION_KINDS[byId("question-kind").value][1];
  asked.found = evaluation.questions.filter(
    (question) => keep(question) && (words === "" || JSON.stringify(question).toLowerCase().includes(words)),
  );
  asked.shown = more ? asked.shown + more : 10;
  fill(byId("question-cards"), ...asked.found.slice(0, asked.shown).map(questionCard));
  const left = asked.found.length - asked.shown;
  when("more-questions", left > 0);
  byId("more-questions").textContent = `Show more (${plural(left, "question")} left)`;
  byId("question-note").textContent =
    `${count(asked.found.length)} of ${plural(evaluation.questions.length, "question")} chosen from all.`;
}

function startQuestions() {
  when("questions", evaluation !== null);
  if (evaluation === null) return;
  writeEvaluation();
  options(
    byId("question-kind"),
    Object.entries(QUESTION_KINDS).map(([name, kind]) => [name, kind[0]]),
    "",
  );
  for (const id of ["question-search", "question-kind"]) byId(id).addEventListener("input", () => showQuestions());
  byId("more-questions").addEventListener("click", () => showQuestions(20));
  showQuestions();
}
