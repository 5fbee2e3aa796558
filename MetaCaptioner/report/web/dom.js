// Making elements. Text only ever becomes a text node, so that nothing a model wrote is read as markup.

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") made.addEventListener("click", value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function fill(host, ...children) {
  host.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const count = (number) => whole.format(number);
const compact = (number) => (Math.abs(number) < 10000 ? whole.format(number) : short.format(number));
const fixed = (number, digits = 2) => (number === null || number === undefined ? "–" : number.toFixed(digits));
const percent = (part, all) => (all ? `${((100 * part) / all).toFixed(part === all || part === 0 ? 0 : 1)}%` : "–");
const signed = (number, digits = 2) => {
  const size = Math.abs(number).toFixed(digits);
  return (Number(size) === 0 ? "±" : number > 0 ? "+" : "−") + size;
};
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

// A short name for each domain, its first word, unless two begin alike.
const firstWords = data.domains.map((name) => name.split(" ")[0]);
const shortDomains = data.domains.map((name, place) =>
  firstWords.filter((word) => word === firstWords[place]).length > 1 ? name : firstWords[place],
);

function options(select, entries, chosen) {
  fill(
    select,
    ...entries.map(([value, text]) => element("option", { value, selected: String(value) === String(chosen) }, text)),
  );
}

// A table of rows of cells; a cell is text, a number with its text as {value, text}, or an element.
function table(host, heads, rows, { numbers = true } = {}) {
  const cell = (content, place) => {
    const shown = content && typeof content === "object" && "text" in content ? content.text : content;
    if (place === 0) return element("th", { scope: "row" }, shown);
    return element("td", { class: numbers ? "number" : null }, shown);
  };
  fill(
    host,
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ...heads.map((head, place) =>
          head === ""
            ? element("td")
            : element("th", { scope: "col", class: numbers && place ? "number" : null }, head),
        ),
      ),
    ),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell)))),
  );
}

// Rows of a name and its value.
function factTable(host, rows) {
  fill(
    host,
    element(
      "tbody",
      {},
      ...rows.map(([name, ...values]) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, name),
          ...values.map((value) => element("td", { class: "number" }, value)),
        ),
      ),
    ),
  );
}

// A bar that shows a share beside its figure.
function share(part, all) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span", {}));
  bar.firstChild.style.width = `${all ? (100 * part) / all : 0}%`;
  return element("span", { class: "share" }, bar, element("span", {}, percent(part, all)));
}

function when(id, condition) {
  byId(id).hidden = !condition;
}
