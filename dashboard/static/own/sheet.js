// Opens "why?" in a sheet over the page. Without script the link is an ordinary page.
(() => {
  "use strict";
  const sheet = document.getElementById("sheet");
  const body = document.getElementById("sheet-body");
  if (!sheet || !sheet.showModal) return;

  let opener = null;

  // The live parts may have put a new link in the opener's place while the sheet was open.
  const back = ({ link, address, part }) => {
    if (link.isConnected) return link;
    const links = [...document.querySelectorAll("main [hx-target='#sheet-body']")];
    return (
      links.find((each) => each.getAttribute("href") === address) ??
      links.find((each) => part && each.closest("[data-part]")?.dataset.part === part) ??
      document.getElementById("main")
    );
  };

  // Listens before htmx, which bubbles up from the link: links marked for the sheet swap their fragment into it.
  document.body.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail?.ctx?.target ?? event.target;
    if (target !== body || !body.childElementCount) return;
    sheet.querySelector("[data-sheet-title]")?.setAttribute("tabindex", "-1");
    if (!sheet.open) sheet.showModal();
    sheet.scrollTop = 0;
    sheet.querySelector("[data-sheet-title]")?.focus({ preventScroll: true });
  });
  document.body.addEventListener("click", (event) => {
    const link = event.target.closest("[hx-target='#sheet-body']");
    if (link) opener = { link, address: link.getAttribute("href"), part: link.closest("[data-part]")?.dataset.part };
    if (event.target === sheet) sheet.close();
  });
  sheet.addEventListener("close", () => {
    body.replaceChildren();
    if (opener) back(opener)?.focus();
    opener = null;
  });
})();
