// The button of an example copies what one types, without the prompts and without what is printed.
document.addEventListener(
  "click",
  ({ target }) => {
    const button = target.closest("[data-clipboard-target]");
    const block = button && button.closest(".language-pycon, .language-console");
    if (block) {
      const lines = document
        .querySelector(button.dataset.clipboardTarget)
        .textContent.split("\n")
        .filter((line) => /^(>>>|\.\.\.|\$)( |$)/.test(line))
        .map((line) => line.replace(/^(>>>|\.\.\.|\$) ?/, ""));
      button.dataset.clipboardText = lines.join("\n");
    }
  },
  // Before the theme reads the text.
  { capture: true },
);
