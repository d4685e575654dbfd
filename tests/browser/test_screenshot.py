"""The pictures of the README and the docs, taken of the running city."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import expect


def test_screenshot_of_home_and_demo(kari, tmp_path):
    folder = Path(os.environ.get("TVILLING_SCREENSHOT") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page = kari.another_page(viewport={"width": 1160, "height": 900}, device_scale_factor=1)
    for name in ("home", "demo"):
        page.goto(f"{kari.base_url}/-/{name}")
        expect(page.locator("[data-live]").first).to_contain_text("Direkte", timeout=20_000)
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        assert (folder / f"{name}.png").stat().st_size > 50_000
    page.context.close()
