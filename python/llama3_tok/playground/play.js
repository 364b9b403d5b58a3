"use strict";
// The page asks its own server for the tokens of what is typed. Answers are shown in the order of the
// questions, and while one is on its way only the latest of the next ones is kept.
(() => {
  const by = (id) => document.getElementById(id);
  const text = by("text"), figure = by("tokens"), trouble = by("trouble");
  const MAX_FILE = 4 << 20;
  const PAUSE = 300;  // milliseconds without typing, after which more tokens are shown
  const ROLES = ["system", "user", "assistant"];

  const ask = async (name, question) => {
    const answer = await fetch(`/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(question),
    });
    const found = await answer.json().catch(() => ({ error: `The server answers ${answer.status}.` }));
    if (!answer.ok) throw new Error(found.error);
    return found;
  };
  const say = (reason) => {
    trouble.textContent = reason ?? "";
    trouble.hidden = !reason;
  };
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const number = (value) => value.toLocaleString("en");
  const counted = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;

  // One question after the other; the latest wins.
  let asking = false, again = false, most = "few", drawn = null, pause = 0;
  const renew = async () => {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    do {
      again = false;
      try {
        if (by("mode-chat").checked) await renewChat();
        else await renewText();
        say();
      } catch (error) {
        say(error instanceof TypeError ? "The server does not answer; is it still running?" : error.message);
      }
      for (const one of [figure, by("counts")]) one.classList.toggle("waiting", !trouble.hidden);
    } while (again);
    asking = false;
  };
  // Direction by the first letter; dir=auto takes a minute for some megabytes.
  const rightToLeft = /^[^\p{L}]*[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC]/u;
  const direct = (area) => {
    area.dir = rightToLeft.test(area.value.slice(0, 500)) ? "rtl" : "ltr";
  };
  const later = () => {
    document.querySelectorAll("textarea").forEach(direct);
    most = "few";
    clearTimeout(pause);
    pause = setTimeout(() => {
      if (most !== "few" || by("more").hidden) return;
      most = "usual";
      renew();
    }, PAUSE);
    renew();
  };

  const asked = () => ({
    text: text.value,
    tokenizer: by("tokenizer").value,
    special: by("special").checked,
    bos: by("bos").checked,
    most,
  });

  // Blocks of what is drawn that may stay: those in what is the same from the beginning of both texts on.
  const flow = figure.querySelector(".flow"), encoder = new TextEncoder();
  const STARTS = 64;  // so many blocks at most are said: what is typed changes the last ones
  const kept = (question) => {
    for (const name of ["tokenizer", "special", "bos"]) {
      if (drawn?.[name] !== question[name]) return undefined;
    }
    const before = drawn.text, now = question.text;
    let same = 0;
    while (same < now.length && before.charCodeAt(same) === now.charCodeAt(same)) same += 1;
    // Not between the halves of a character.
    if (/[\uD800-\uDBFF]/.test(now.charAt(same - 1))) same -= 1;
    const bytes = encoder.encode(now.slice(0, same)).length;
    const start = (block) => Number(block.querySelector(".t")?.dataset.a ?? 0);
    const blocks = [...flow.children];
    let end = blocks.length;
    while (end > 0 && start(blocks[end - 1]) > bytes) end -= 1;
    const number = Math.max(0, end - STARTS);
    return { same: bytes, number, starts: blocks.slice(number, end).map(start) };
  };

  const renewText = async () => {
    const question = asked();
    const found = await ask("tokens", { ...question, drawn: kept(question) });
    drawn = question;
    forget(question.text);
    const labels = ["Llama 3"];
    const parts = [
      element("span", {}, element("b", {}, number(found.count)), ` token${found.count === 1 ? "" : "s"}`),
      ` · ${counted(found.characters, "character")} · ${counted(found.bytes, "byte")}`,
    ];
    if (found.count > 0) parts.push(` · ${(found.bytes / found.count).toFixed(2)} bytes per token`);
    if (found.llama2 && found.llama2.count === null) {
      parts.push(` · Llama 2 is asked up to ${number(found.llama2.most)} bytes`);
    } else if (found.llama2) {
      parts.push(` · Llama 2: ${counted(found.llama2.count, "token")}`);
      labels.push("Llama 2");
    }
    by("counts").replaceChildren(...parts);
    const mentions = by("mentions");
    mentions.hidden = found.mentions.length === 0;
    mentions.textContent = `Plain text here, since special tokens are not asked for: ${found.mentions.join(" ")}`;
    draw(found, labels);
  };

  const renewChat = async () => {
    const question = {
      tokenizer: by("tokenizer").value,
      messages: messages(),
      tools: tools(),
      prompt: by("prompt").checked,
    };
    const found = await ask("chat", question);
    drawn = null;
    const learned = found.learned === null ? "" : ` · ${number(found.learned)} of them learned in training`;
    by("counts").replaceChildren(
      element("b", {}, number(found.count)), ` token${found.count === 1 ? "" : "s"}${learned}`,
    );
    by("mentions").hidden = true;
    draw(found, ["content", "structure", "learned in training"]);
  };

  const draw = (found, labels) => {
    while (flow.children.length > found.kept) flow.lastElementChild.remove();
    flow.insertAdjacentHTML("beforeend", found.html);
    const isChat = by("mode-chat").checked;
    const keys = isChat ? ["k0", "k2", "kl"] : ["k0", "k1"];
    by("legend").replaceChildren(...labels.map((label, index) => (
      element("span", {}, element("i", { className: `key ${keys[index]}` }), label))));
    by("labels").replaceChildren(...labels.map((label) => element("li", {}, isChat ? "token" : label)));
    by("only-label").hidden = isChat || labels.length < 2;
    if (by("only-label").hidden) figure.querySelector(".only").checked = false;
    const more = by("more");
    more.hidden = isChat || most === "all" || found.shown >= found.count;
    more.textContent = `${number(found.shown)} of ${number(found.count)} are shown: show more`;
    flow.ariaLabel = `Tokens of the ${isChat ? "conversation" : "text"}`;
    figure.dispatchEvent(new CustomEvent("renewed", { detail: found.kept }));
  };

  // An explanation is of one text; another text has none yet.
  let explained = null;
  const forget = (now) => {
    if (explained === null || explained === now) return;
    explained = null;
    by("explained").replaceChildren();
    by("hint").hidden = false;
  };

  // A token that is clicked, or has the focus when Enter is pressed, is explained.
  const explain = async (token) => {
    if (drawn === null || token.dataset.a === token.dataset.e) return;
    const question = { ...drawn, byte: Number(token.dataset.a) };
    try {
      const found = await ask("explain", question);
      by("hint").hidden = true;
      explained = question.text;
      by("explained").innerHTML = found.html;
    } catch (error) {
      say(error.message);
    }
  };
  const tokenOf = (event) => event.target.closest?.("#tokens .t");
  figure.addEventListener("click", (event) => {
    const token = tokenOf(event);
    if (token) explain(token);
  });
  figure.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    if (token && event.key === "Enter") explain(token);
  });

  // Conversations
  const list = by("messages");
  const messages = () => [...list.children].map((item) => ({
    role: item.querySelector("select").value,
    content: item.querySelector("textarea").value,
  }));
  const tools = () => {
    const given = by("tools").value.trim();
    if (given === "") return null;
    try {
      return JSON.parse(given);
    } catch (error) {
      throw new Error(`The tools are not JSON: ${error.message}`);
    }
  };
  const renumber = () => [...list.children].forEach((item, index) => {
    item.querySelector("select").ariaLabel = `Role of message ${index + 1}`;
    item.querySelector("textarea").ariaLabel = `Content of message ${index + 1}`;
    item.querySelector("button").ariaLabel = `Remove message ${index + 1}`;
  });
  const add = (role, content) => {
    const select = element("select", {}, ...ROLES.map((name) => element("option", {}, name)));
    select.value = role;
    const area = element("textarea", { value: content, rows: 2, spellcheck: false });
    const remove = element("button", { type: "button", className: "quiet" }, "×");
    const item = element("li", {}, select, area, remove);
    select.addEventListener("change", later);
    area.addEventListener("input", later);
    remove.addEventListener("click", () => {
      (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("textarea").focus();
      item.remove();
      renumber();
      later();
    });
    list.append(item);
    renumber();
    return area;
  };
  add("system", "You are a helpful assistant.");
  add("user", "Who wrote Truyện Kiều?");
  add("assistant", "Nguyễn Du.");
  by("add").addEventListener("click", () => {
    const last = messages().at(-1)?.role;
    add(last === "user" ? "assistant" : "user", "").focus();
    later();
  });

  // A file that is dropped or chosen is read here and shown as text.
  const read = async (file) => {
    if (!file) return;
    if (file.size > MAX_FILE) {
      say(`${file.name} has ${number(file.size)} bytes; this page takes ${number(MAX_FILE)}. "llama3-tok count" counts files of any size.`);
      return;
    }
    try {
      text.value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
    } catch {
      say(`${file.name} is not a text in UTF-8.`);
      return;
    }
    by("mode-text").checked = true;
    switchMode();
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    read(event.dataTransfer.files[0]);
  });
  by("file").addEventListener("change", async (event) => {
    await read(event.target.files[0]);
    event.target.value = ""; // the text is shown, and may be changed
  });

  const switchMode = () => {
    const isChat = by("mode-chat").checked;
    figure.querySelector(".find-token").value = "";
    by("text-part").hidden = isChat;
    by("chat-part").hidden = !isChat;
    by("explanation").hidden = isChat;
    later();
  };
  for (const id of ["mode-text", "mode-chat"]) by(id).addEventListener("change", switchMode);
  for (const id of ["special", "bos", "tokenizer", "prompt"]) by(id).addEventListener("change", later);
  for (const id of ["text", "tools"]) by(id).addEventListener("input", later);
  by("more").addEventListener("click", () => {
    most = "all";
    renew();
  });

  fetch("/about").then((answer) => answer.json()).then((about) => {
    by("tokenizer").append(...about.tokenizers.map((name) => element("option", {}, name)));
    switchMode();
    text.focus();
  }, () => say("The server does not answer; is it still running?"));
})();
