"""A browser's translator, as far as a page can notice one (handed case of kind 14)."""

from __future__ import annotations

from playwright.sync_api import Page

_TRANSLATE = """
addEventListener("DOMContentLoaded", () => {
  window.translated = [];
  const skip = "font, script, style, [translate=no], .notranslate";
  const translate = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts) {
      if (!text.nodeValue.trim() || text.parentElement.closest(skip)) continue;
      const shown = document.createElement("font");
      shown.textContent = text.nodeValue;
      text.replaceWith(shown);
      window.translated.push([text, shown]);
    }
  };
  new MutationObserver(translate).observe(document.body, { childList: true, subtree: true });
});
"""
_STALE = """() => window.translated
  .filter(([text, shown]) => shown.isConnected && text.nodeValue !== shown.textContent)
  .map(([text, shown]) => `${shown.textContent} -> ${text.nodeValue}`)"""


def translate(page: Page) -> None:
    """From the next address on, each text is taken out of the page, and another put there."""
    page.add_init_script(_TRANSLATE)


def stale(page: Page) -> list[str]:
    """What is still read, and what the page means to say, where they differ."""
    found: list[str] = page.evaluate(_STALE)
    return found
