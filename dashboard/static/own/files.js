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

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const sending = new XMLHttpRequest();
    sending.open("POST", form.action);
    sending.setRequestHeader("Accept", "application/json");
    sending.upload.addEventListener("progress", (at) => {
      if (at.lengthComputable) bar.value = (100 * at.loaded) / at.total;
    });
    sending.upload.addEventListener("load", () => say(told.dataset.wait));
    sending.addEventListener("loadend", () => {
      bar.hidden = true;
      let answer = null;
      try {
        answer = JSON.parse(sending.responseText);
      } catch {
        answer = null;
      }
      if (sending.status === 200 && answer) {
        say(answer.words, answer.problems);
        form.reset();
      } else {
        say((answer && (answer.detail || answer.title)) || told.dataset.failed);
      }
    });
    bar.value = 0;
    bar.hidden = false;
    sending.send(new FormData(form));
  });
})();
