"use strict";
// What the page has beyond reading: links between the rows of tokens, search, sorting.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  all(".search").forEach((label) => { label.hidden = false; });

  // Tables: a click on a header sorts, a second one turns the order round.
  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (a, b) => {
    if (a.dataset.v !== undefined && b.dataset.v !== undefined) return a.dataset.v - b.dataset.v;
    return collator.compare(a.textContent, b.textContent);
  };
  for (const table of all("table")) {
    const body = table.tBodies[0];
    for (const header of all("th", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const first = header.classList.contains("n") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = header.getAttribute("aria-sort") === first ? other : first;
        all("th", table).forEach((each) => each.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", order);
        const at = header.cellIndex, sign = order === "ascending" ? 1 : -1;
        body.append(...[...body.rows].sort((a, b) => sign * compare(a.cells[at], b.cells[at])));
      });
    }
  }
  all(".find-row").forEach((input) => input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of input.closest(".data").querySelector("tbody").rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  }));

  // Tokens: the one that is pointed at or has the focus, and those over the same bytes.
  const inspector = document.getElementById("inspector");
  let marked = [];
  const span = (token) => [Number(token.dataset.a), Number(token.dataset.e)];
  const rowOf = (token) => [...token.parentNode.parentNode.children].indexOf(token.parentNode);
  const overlaps = (a, b) => {
    const [from, to] = span(a), [start, end] = span(b);
    return from === to || start === end ? from <= end && start <= to : from < end && start < to;
  };
  const partners = (token) => all(".t", token.closest(".p"))
    .filter((other) => other.parentNode !== token.parentNode && overlaps(token, other));
  const element = (name, ...children) => {
    const made = document.createElement(name);
    made.append(...children);
    return made;
  };
  const described = (token) => {
    const piece = element("code");
    piece.append(...[...token.childNodes].map((node) => node.cloneNode(true)));
    return element("span", piece, `  id ${token.dataset.id}, ${token.dataset.bytes}`);
  };
  const clear = () => {
    marked.forEach((token) => token.classList.remove("on", "also"));
    marked = [];
  };
  const show = (token) => {
    clear();
    const others = partners(token);
    token.classList.add("on");
    others.forEach((other) => other.classList.add("also"));
    marked = [token, ...others];
    const labels = all(".labels li", token.closest(".tokens")).map((item) => item.textContent);
    const grid = element("div", element("b", labels[rowOf(token)]), described(token));
    for (const other of others) {
      grid.append(element("span", labels[rowOf(other)]), described(other));
    }
    const why = token.closest(".p").dataset.why;
    if (why) grid.append(element("span", "why"), element("span", why));
    inspector.replaceChildren(grid);
    inspector.hidden = false;
  };
  const hide = () => {
    clear();
    inspector.hidden = true;
  };
  // A page that scrolls under a resting pointer puts another token there. That is nobody's pointing:
  // the token that a key or a search has just gone to stays shown until the pointer itself moves.
  let pointer = "";
  const moved = (event) => {
    const before = pointer;
    pointer = `${event.clientX} ${event.clientY}`;
    return pointer !== before;
  };

  // What a flow of tokens has of its own. Gives what a page calls that puts new blocks into it, from a
  // number on.
  const enliven = (flow) => {
    // One stop of the tab key; the arrow keys go on from there.
    let stop = null, rows = new Map();
    const renew = (from = 0) => {
      for (const block of [...flow.children].slice(from)) {
        for (const token of all(".t", block)) {
          token.tabIndex = -1;
          token.dataset.bytes = token.title;
          token.removeAttribute("title");
        }
      }
      rows = new Map();
      if (stop?.isConnected) return;
      stop = flow.querySelector(".t");
      if (stop) stop.tabIndex = 0;
    };
    flow.addEventListener("mousemove", (event) => {
      const token = event.target.closest(".t");
      if (moved(event) && token && token !== marked[0]) show(token);
    });
    flow.addEventListener("mouseleave", () => {
      if (flow.contains(document.activeElement)) show(document.activeElement);
      else hide();
    });
    flow.addEventListener("focusin", (event) => {
      if (!event.target.classList.contains("t")) return;
      stop.tabIndex = -1;
      stop = event.target;
      stop.tabIndex = 0;
      show(stop);
    });
    flow.addEventListener("focusout", hide);
    flow.addEventListener("click", (event) => event.target.closest(".t")?.focus());
    const visible = (token) => token.offsetParent !== null;
    const inRow = (index) => {
      if (!rows.has(index)) rows.set(index, all(".t", flow).filter((token) => rowOf(token) === index));
      return rows.get(index);
    };
    const beside = (token, step) => {
      const row = inRow(rowOf(token));
      let at = row.indexOf(token) + step;
      while (row[at] && !visible(row[at])) at += step;
      return row[at];
    };
    flow.addEventListener("keydown", (event) => {
      const token = event.target.closest(".t");
      if (!token) return;
      const place = token.closest(".p");
      const move = {
        ArrowRight: () => beside(token, 1),
        ArrowLeft: () => beside(token, -1),
        ArrowDown: () => partners(token).find((other) => rowOf(other) > rowOf(token)),
        ArrowUp: () => partners(token).findLast((other) => rowOf(other) < rowOf(token)),
        Home: () => inRow(rowOf(token)).find(visible),
        End: () => inRow(rowOf(token)).findLast(visible),
        Escape: () => { token.blur(); return undefined; },
      }[event.key];
      if (!move || !place) return;
      event.preventDefault();
      move()?.focus();
    });
    renew();
    return renew;
  };

  // The search over the tokens of a figure.
  const searchable = (figure) => {
    const input = figure.querySelector(".find-token");
    const found = figure.querySelector(".found");
    const text = (token) => token.textContent.toLowerCase();
    let hits = [], next = 0;
    const search = () => {
      const flow = figure.querySelector(".flow"), tokens = all(".t", flow);
      const wanted = input.value.toLowerCase();
      tokens.forEach((token) => token.classList.remove("hit"));
      hits = wanted === "" ? []
        : tokens.filter((token) => token.dataset.id === wanted || text(token).includes(wanted));
      hits.forEach((token) => token.classList.add("hit"));
      flow.classList.toggle("searching", wanted !== "");
      found.textContent = wanted === "" ? ""
        : `${hits.length} token${hits.length === 1 ? "" : "s"}`;
      next = 0;
    };
    input.addEventListener("input", search);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || hits.length === 0) return;
      event.preventDefault();
      const token = hits[next % hits.length];
      next += event.shiftKey ? hits.length - 1 : 1;
      token.scrollIntoView({ block: "center" });
      show(token);
    });
    return search;
  };

  for (const figure of all(".tokens")) {
    const search = searchable(figure);
    const renew = enliven(figure.querySelector(".flow"));
    figure.addEventListener("renewed", (event) => {
      hide();
      renew(event.detail);
      if (figure.querySelector(".find-token").value !== "") search();
    });
  }
})();
