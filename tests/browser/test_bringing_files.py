"""Files dragged onto the page, their progress and what became of them; and from the catalogue to where one connects."""

from __future__ import annotations

import re

from playwright.sync_api import expect

DROPPED = """([form, files]) => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    transfer.items.add(new File([text], name));
  }
  form.dispatchEvent(new DragEvent("dragover", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  const over = form.dataset.over;
  form.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  return over;
}"""
CSV = "start,value\n2025-03-0{day}T00:00:00Z,1.5\n2025-03-0{day}T01:00:00Z,2.5\n"


def drop(page, *files):
    form = page.locator("form[data-files]")
    return page.evaluate(DROPPED, [form.element_handle(), [list(each) for each in files]])


def test_files_are_dragged_onto_the_page_and_each_is_told_what_became_of_it(kari):
    page = kari.go("/-/files")
    page.evaluate(
        """() => {
          const bar = document.querySelector("[data-files] progress");
          window.seen = [];
          new MutationObserver(() => window.seen.push([bar.hidden, bar.value])).observe(bar, { attributes: true });
        }"""
    )
    page.locator("#connector").select_option("hourly-csv")
    assert drop(page, ("a.csv", CSV.format(day=1)), ("b.csv", ""), ("c.csv", CSV.format(day=2))) == "true"
    told = page.locator("[data-told]")
    expect(told).to_contain_text("c.csv: 2 nye")
    expect(told).to_contain_text("a.csv: 2 nye")
    expect(told).to_contain_text("b.csv is empty")
    seen = page.evaluate("window.seen")
    assert [False, 0] in seen
    assert any(value == 100 for _, value in seen), seen
    assert seen[-1][0], "the bar is hidden again"
    expect(page.locator("form[data-files] progress")).to_be_hidden()


def test_a_file_that_is_too_large_is_told_before_it_is_sent(kari):
    page = kari.go("/-/files")
    page.locator("#connector").select_option("hourly-csv")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.locator("form[data-files]").evaluate("form => { form.dataset.limit = '10'; }")
    drop(page, ("year.csv", CSV.format(day=3)))
    expect(page.locator("[data-told]")).to_contain_text("year.csv er for stor")
    assert not [each for each in sent if "/-/files" in each]


def test_the_catalogue_leads_to_files_and_to_connecting(kari):
    page = kari.go("/vocab/catalogue")
    elhub = page.locator("#elhub-csv")
    expect(elhub).to_contain_text("Hvor langt tilbake")
    elhub.get_by_role("link", name=re.compile("Legg inn en fil")).click()
    page.wait_for_url("**/-/files")
    page.go_back()
    page.get_by_role("link", name="Koble til en kilde").click()
    page.wait_for_url("**/-/sources")
