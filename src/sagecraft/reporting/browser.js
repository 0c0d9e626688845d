"use strict";
// The list of entries of a page. Everything shown is a stranger's text: it becomes text nodes, never markup.
(() => {
  const PAGE_ROWS = 50;
  // Control characters, marks that turn the reading direction, halves of characters: shown by their number.
  const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\p{Cs}]/gu;
  const COLLATOR = new Intl.Collator("en", { numeric: true });

  const element = (name, parent, properties = {}, text = "") => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  const plain = (parent, text) => {
    let from = 0;
    for (const found of text.matchAll(ODD)) {
      if (found[0] === "\r" && text[found.index + 1] === "\n") continue;
      if (found.index > from) parent.append(text.slice(from, found.index));
      const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      element("span", parent, { class: "odd", title: "a character that is not shown" }, "U+" + code);
      from = found.index + found[0].length;
    }
    if (from < text.length) parent.append(text.slice(from));
  };

  const tidy = (text) => text.replace(ODD, "\ufffd");

  // A text is a string, or [beginning, characters left out, end].
  const show = (parent, text) => {
    if (typeof text === "string") return plain(parent, text);
    plain(parent, text[0]);
    element("span", parent, { class: "left-out" }, `… ${count(text[1])} characters left out …`);
    plain(parent, text[2]);
  };
  const whole = (text) => (typeof text === "string" ? text : text[0] + "\u0000" + text[2]);
  const count = (number) => number.toLocaleString("en-US");
  const figure = (value) => (Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)))).replace("-", "−");

  const List = class {
    constructor(home, data, number) {
      Object.assign(this, data);
      this.label = tidy(this.label);
      for (const named of [...this.columns, ...this.forms.flatMap((form) => form.columns || [])]) named.name = tidy(named.name);
      for (const form of this.forms) form.label = tidy(form.label);
      this.key = `list-${number}`;
      this.page = 0;
      this.sorted = null; // [column, 1 or -1]
      this.chosen = new Map(); // column → number of the text
      this.opened = new Set();
      this.order = this.rows.map((_, index) => index);
      this.build(home);
      this.update();
    }

    build(home) {
      const controls = element("div", home, { class: "controls", role: "search", "aria-label": `filter: ${this.label}` });
      this.columns.forEach((column, place) => {
        if (column.kind === "choice") this.choice(controls, column, place);
      });
      const label = element("label", controls, { class: "search" }, "text");
      this.search = element("input", label, { type: "search", autocomplete: "off", spellcheck: "false" });
      let waiting = 0;
      this.search.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.filter(), 120);
      });
      const keys = "Enter opens an entry, ↑ and ↓ go from one to the next, Page Up and Page Down turn the page.";
      element("p", home, { class: "hint" }, keys + this.told());
      this.turns = [this.turn(home, true)];
      const box = element("div", home, { class: "table", role: "region", tabindex: "0", "aria-label": this.label });
      const table = element("table", box, { class: "list" });
      this.head(element("tr", element("thead", table)));
      this.body = element("tbody", table);
      this.body.addEventListener("click", (event) => this.click(event));
      this.body.addEventListener("keydown", (event) => this.press(event));
      this.turns.push(this.turn(home, false));
    }

    told() {
      const cut = this.cut
        ? ` ${count(this.cut)} ${this.cut === 1 ? "text is" : "texts are"} cut in the middle to ${count(this.limit)} characters, and searched so.`
        : "";
      const fewer = this.rows.length < this.total
        ? ` The first ${count(this.rows.length)} of ${count(this.total)}: all would make this page too large.`
        : "";
      return cut + fewer;
    }

    choice(controls, column, place) {
      const counts = new Map();
      for (const [cells] of this.rows) counts.set(cells[place], (counts.get(cells[place]) || 0) + 1);
      if (counts.size < 2) return;
      const label = element("label", controls, {}, column.name);
      const select = element("select", label);
      element("option", select, { value: "" }, "all");
      const name = (id) => (id === null ? "–" : whole(this.texts[id]));
      const ids = [...counts.keys()].sort((a, b) => COLLATOR.compare(name(a), name(b)));
      ids.forEach((id, index) => {
        const option = element("option", select, { value: String(index) });
        const short = tidy(name(id));
        option.textContent = `${short.length > 60 ? short.slice(0, 60) + "…" : short} (${count(counts.get(id))})`;
      });
      select.addEventListener("change", () => {
        if (select.value === "") this.chosen.delete(place);
        else this.chosen.set(place, ids[Number(select.value)]);
        this.filter();
      });
    }

    head(row) {
      this.headings = this.columns.map((column, place) => {
        if (column.hidden) return null;
        const kinds = (column.kind === "number" ? "number " : "") + (column.minor ? "minor" : "");
        const cell = element("th", row, { scope: "col", class: kinds.trim(), "aria-sort": "none" });
        const button = element("button", cell, { type: "button", title: `sort by ${column.name}` }, column.name);
        button.addEventListener("click", () => this.sort(place));
        return [cell, button, column.name];
      });
    }

    turn(home, spoken) {
      const bar = element("div", home, { class: "turn" });
      const status = element("span", bar, spoken ? { class: "status", role: "status" } : { class: "status" });
      const steps = [["first", () => 0], ["previous", () => this.page - 1], ["next", () => this.page + 1], ["last", () => this.last()]];
      const buttons = steps.map(([name, place]) => {
        const button = element("button", bar, { type: "button", "aria-label": `${name} page: ${this.label}` }, name);
        button.addEventListener("click", () => this.go(place()));
        return button;
      });
      return { status, buttons };
    }

    last() {
      return Math.max(0, Math.ceil(this.order.length / PAGE_ROWS) - 1);
    }

    go(page) {
      this.page = Math.min(Math.max(0, page), this.last());
      this.update();
    }

    // Numbers of the texts in which the text filter looks, row by row.
    searched() {
      if (this.places) return this.places;
      this.places = this.rows.map(([cells, parts]) => {
        const ids = cells.filter((cell, place) => cell !== null && this.columns[place].kind !== "number");
        for (const [number, value] of parts) {
          const form = this.forms[number];
          if (!form.searched) continue;
          if (form.kind !== "grid") ids.push(...value);
          else for (const [row] of value) ids.push(...row.filter((cell, place) => cell !== null && form.columns[place].kind !== "number"));
        }
        return ids;
      });
      this.lower = this.texts.map((text) => whole(text).toLowerCase());
      return this.places;
    }

    filter() {
      const needle = this.search.value.trim().toLowerCase();
      const places = needle ? this.searched() : null;
      const hits = needle ? this.lower.map((text) => text.includes(needle)) : null;
      const chosen = [...this.chosen];
      this.order = [];
      this.rows.forEach(([cells], index) => {
        if (chosen.every(([place, id]) => cells[place] === id) && (!hits || places[index].some((id) => hits[id]))) this.order.push(index);
      });
      this.arrange();
      this.page = 0;
      this.update();
    }

    sort(place) {
      const [before, way] = this.sorted || [-1, 1];
      this.sorted = before !== place ? [place, 1] : way === 1 ? [place, -1] : null;
      this.headings.forEach((heading, index) => {
        if (!heading) return;
        const [cell, button, name] = heading;
        const direction = this.sorted && this.sorted[0] === index ? this.sorted[1] : 0;
        cell.setAttribute("aria-sort", ["descending", "none", "ascending"][direction + 1]);
        button.textContent = name + ["\u00a0▾", "", "\u00a0▴"][direction + 1];
      });
      this.filter();
    }

    arrange() {
      if (!this.sorted) return;
      const [place, way] = this.sorted;
      const number = this.columns[place].kind === "number";
      const ranks = number ? null : this.ranks(place);
      const value = (index) => {
        const cell = this.rows[index][0][place];
        return cell === null || number ? cell : ranks.get(cell);
      };
      // what has no value stands last either way; equals keep the order of the file
      this.order.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        return way * (x - y) || a - b;
      });
    }

    ranks(place) {
      const ids = [...new Set(this.rows.map(([cells]) => cells[place]).filter((id) => id !== null))];
      const short = new Map(ids.map((id) => [id, whole(this.texts[id]).slice(0, 200)]));
      ids.sort((a, b) => COLLATOR.compare(short.get(a), short.get(b)));
      return new Map(ids.map((id, rank) => [id, rank]));
    }

    update() {
      const from = this.page * PAGE_ROWS;
      const shown = this.order.slice(from, from + PAGE_ROWS);
      const all = this.order.length === this.rows.length ? "" : ` (${count(this.rows.length)} in all)`;
      const text = shown.length ? `${count(from + 1)} to ${count(from + shown.length)} of ${count(this.order.length)}${all}` : `none of ${count(this.rows.length)}`;
      for (const { status, buttons } of this.turns) {
        status.textContent = text;
        buttons.forEach((button, index) => { button.disabled = index < 2 ? this.page === 0 : this.page >= this.last(); });
      }
      this.body.replaceChildren();
      for (const index of shown) {
        this.line(index);
        if (this.opened.has(index)) this.open(index, this.body.lastElementChild);
      }
    }

    line(index) {
      const row = element("tr", this.body, { class: "entry" });
      row.dataset.index = index;
      this.rows[index][0].forEach((cell, place) => {
        const column = this.columns[place];
        if (column.hidden) return;
        const kinds = (column.kind === "number" ? "number " : "") + (column.minor ? "minor" : "");
        const box = element("td", row, { class: kinds.trim() });
        if (place === 0) {
          const button = element("button", box, { type: "button", "aria-expanded": "false", "aria-controls": `${this.key}-${index}` });
          this.cell(element("span", button), column, cell);
        } else if (column.kind === "number") this.cell(box, column, cell);
        else this.cell(element("div", box, { class: column.kind === "text" ? "clip free" : "clip" }), column, cell);
      });
    }

    cell(box, column, cell) {
      if (cell === null) box.textContent = "–";
      else if (column.kind === "number") box.textContent = figure(cell);
      else {
        const text = whole(this.texts[cell]);
        plain(box, text.length > 300 ? text.slice(0, 300) + "…" : text);
        const tone = Object.hasOwn(column.tones || {}, text) ? column.tones[text] : "";
        if (tone) box.classList.add(tone);
      }
    }

    open(index, line) {
      line.querySelector("button").setAttribute("aria-expanded", "true");
      const row = element("tr", null, { class: "open", id: `${this.key}-${index}` });
      const wide = this.headings.filter((heading) => heading).length;
      // as wide as what is seen, however wide the table is
      const box = element("div", element("td", row, { colspan: String(wide) }), { class: "inside" });
      const [, parts, source] = this.rows[index];
      for (const [number, value] of parts) this.part(box, this.forms[number], value);
      if (source) element("p", box, { class: "source" }, `in full: ${tidy(whole(this.texts[source[0]]))}, line ${source[1]}`);
      line.after(row);
    }

    part(box, form, value) {
      let home = box;
      if (form.folded) {
        home = element("details", box);
        element("summary", home, {}, form.label);
      } else if (form.kind !== "line" && form.label) element("h4", box, {}, form.label);
      if (form.kind === "grid") return this.grid(home, form, value);
      const text = element(form.kind === "line" ? "p" : "pre", home, form.kind === "line" ? {} : { dir: "auto", tabindex: "0" });
      for (const id of value) show(text, this.texts[id]);
    }

    grid(home, form, rows) {
      const table = element("table", element("div", home, { class: "table" }));
      const head = element("tr", element("thead", table));
      element("td", head);
      for (const column of form.columns) element("th", head, { scope: "col", class: column.kind === "number" ? "number" : "" }, column.name);
      const body = element("tbody", table);
      for (const [cells, marks] of rows) {
        const row = element("tr", body);
        const first = element("td", row); // in view on a narrow screen too
        for (const mark of marks) {
          const text = whole(this.texts[mark]);
          plain(element("span", first, { class: text === "key" ? "mark good" : "mark" }), text);
        }
        cells.forEach((cell, place) => {
          const number = form.columns[place].kind === "number";
          const box = element("td", row, { class: number ? "number" : "" });
          if (cell === null) box.textContent = "–";
          else if (number) box.textContent = figure(cell);
          else show(element("bdi", box), this.texts[cell]);
        });
      }
    }

    click(event) {
      const line = event.target.closest("tr.entry");
      const marking = !event.target.closest("button") && String(window.getSelection());
      if (!line || marking) return;
      const index = Number(line.dataset.index);
      if (this.opened.delete(index)) {
        line.nextElementSibling.remove();
        line.querySelector("button").setAttribute("aria-expanded", "false");
      } else {
        this.opened.add(index);
        this.open(index, line);
      }
    }

    press(event) {
      if (!event.target.matches("tr.entry button")) return;
      const buttons = [...this.body.querySelectorAll("tr.entry button")];
      const here = buttons.indexOf(event.target);
      if (event.key === "ArrowDown" && here + 1 < buttons.length) buttons[here + 1].focus();
      else if (event.key === "ArrowUp" && here > 0) buttons[here - 1].focus();
      else if (event.key === "PageDown" || event.key === "PageUp") {
        this.go(this.page + (event.key === "PageDown" ? 1 : -1));
        const first = this.body.querySelector("tr.entry button");
        if (first) first.focus();
      } else return;
      event.preventDefault();
    }
  };

  document.querySelectorAll(".browser").forEach((home, number) => {
    const data = JSON.parse(home.querySelector("script").textContent);
    new List(home, data, number);
    home.querySelector(".note").remove();
  });
})();
