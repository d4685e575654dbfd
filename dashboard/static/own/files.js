// Files dragged onto the form, and how far they have come. Without this script the form works as forms do.
(() => {
  "use strict";
  const form = document.querySelector("[data-files]");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const bar = form.querySelector("progress");
  const told = form.querySelector("[data-told]");

  const say = (words, problems = []) => {
    const line = document.createElement("p");
    line.textContent = words;
    const list = document.createElement("ul");
    for (const problem of problems) {
      const item = document.createElement("li");
      item.className = "small";
      item.textContent = problem;
      list.append(item);
    }
    told.replaceChildren(line, ...(problems.length ? [list] : []));
  };

  for (const name of ["dragenter", "dragover"]) {
    form.addEventListener(name, (event) => {
      event.preventDefault();
      form.dataset.over = "true";
    });
  }
  for (const name of ["dragleave", "drop"]) form.addEventListener(name, () => delete form.dataset.over);
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    if (form.reportValidity()) form.requestSubmit();
  });

  // One file after the other, each as its bytes: the server takes larger ones so than in a form.
  const send = (file, before, total) =>
    new Promise((done) => {
      const sending = new XMLHttpRequest();
      const query = new URLSearchParams({ connector: form.elements.connector.value, name: file.name });
      sending.open("POST", `${form.getAttribute("action")}/one?${query}`);
      sending.setRequestHeader("Accept", "application/json");
      sending.setRequestHeader("Content-Type", "application/octet-stream");
      sending.setRequestHeader("X-CSRF-Token", form.elements.csrf.value);
      sending.upload.addEventListener("progress", (at) => {
        bar.value = total ? (100 * (before + at.loaded)) / total : 100;
      });
      sending.upload.addEventListener("load", () => say(told.dataset.wait));
      sending.addEventListener("loadend", () => {
        let answer = null;
        try {
          answer = JSON.parse(sending.responseText);
        } catch {
          answer = null;
        }
        const well = sending.status === 200 && answer;
        done(well ? { well, ...answer } : { words: (answer && (answer.detail || answer.title)) || told.dataset.failed });
      });
      sending.send(file);
    });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const files = [...input.files];
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const answers = [];
    let before = 0;
    bar.value = 0;
    bar.hidden = false;
    for (const file of files) {
      const tooLarge = file.size > Number(form.dataset.limit);
      const answer = tooLarge ? { words: form.dataset.tooLarge.replace("{name}", file.name) } : await send(file, before, total);
      before += file.size;
      answers.push({ name: file.name, ...answer });
    }
    bar.hidden = true;
    const problems = answers.flatMap((each) => each.problems || []);
    if (answers.length === 1) {
      say(answers[0].words, problems);
    } else {
      say("", [...answers.map((each) => `${each.name}: ${each.words}`), ...problems]);
    }
    if (answers.every((each) => each.well)) form.reset();
  });
})();
