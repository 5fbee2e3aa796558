"""A page in headless Chromium, and what it complained of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Opened:
    """`problems` are console errors and warnings, exceptions, and requests for anything but the page itself."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def set(self, selector: str, value: object) -> None:
        """Move a slider or fill a field."""
        self.page.locator(selector).fill(str(value))

    def choose(self, selector: str, label: str) -> None:
        self.page.locator(selector).select_option(label=label)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of the system: playwright's own is not fetched."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Opened]:
    """Open a file; whatever it complains of by the end of the block fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(10_000)
    opened = Opened(context.new_page())
    page = opened.page
    page.on("console", lambda message: opened.problems.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith("data:") else opened.problems.append(f"asked {asked.url}")
    )
    page.goto(path.as_uri())
    yield opened
    assert opened.problems == [f"asked {path.as_uri()}"]
    context.close()
