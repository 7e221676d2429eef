"""Chromium tells the imports that wait for one script in any order."""

import pytest
from playwright.sync_api import Page

from apr_ui.component import Component, asset
from apr_ui.heat import _mount as heat

DUMMY = """
function mount({ data, parentElement }) {
  parentElement.textContent = data.said;
  return () => (parentElement.textContent += ", ended");
}
"""


def imported(page: Page, script: str, calls: str) -> object:
    """What `calls` gives, which may use the `mount` that a script exports and a `place`."""
    page.goto("about:blank")
    return page.evaluate(
        """async ([script, calls]) => {
          const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
          const { default: mount } = await import(url);
          const place = document.body;
          return new Function("mount", "place", calls)(mount, place);
        }""",
        [script, calls],
    )


@pytest.fixture
def dummy() -> str:
    import apr_ui.component as package

    return DUMMY + asset("js", package._FOLDER)


def call(said: str, number: int, session: str = "a") -> str:
    return (
        f"mount({{parentElement: place, data: {{said: {said!r}, order: [{session!r}, {number}]}}}})"
    )


def test_what_comes_late_is_left_out(page: Page, dummy: str) -> None:
    calls = f"{call('new', 2)}; {call('old', 1)}; return place.textContent;"
    assert imported(page, dummy, calls) == "new"


def test_the_end_of_an_overtaken_call_ends_nothing(page: Page, dummy: str) -> None:
    calls = f"const end = {call('one', 1)}; {call('two', 2)}; end(); return place.textContent;"
    assert imported(page, dummy, calls) == "two"


def test_the_end_of_the_newest_call_ends_it(page: Page, dummy: str) -> None:
    calls = f"{call('one', 1)}; {call('two', 2)}(); return place.textContent;"
    assert imported(page, dummy, calls) == "two, ended"


def test_a_session_after_a_restart_begins_anew(page: Page, dummy: str) -> None:
    calls = f"{call('before', 7)}; {call('after', 1, 'b')}; return place.textContent;"
    assert imported(page, dummy, calls) == "after"


def test_the_same_data_are_drawn_again(page: Page, dummy: str) -> None:
    """As Streamlit asks for when the theme changes."""
    calls = f"{call('one', 1)}; place.textContent = ''; {call('one', 1)}; return place.textContent;"
    assert imported(page, dummy, calls) == "one"


def test_late_heat_is_left_out(page: Page) -> None:
    """Seen on the Classes page: the maps of the first class beside the rates of the second."""
    assert isinstance(heat, Component)
    calls = """
      place.innerHTML = '<div class="heat"></div>';
      const picture = { width: 1, height: 1, image: "AAAA", values: "", edits: [], alt: "" };
      for (const [number, caption] of [[2, "cat"], [1, "airplane"]]) {
        const pictures = [{ ...picture, caption }];
        mount({
          parentElement: place,
          data: { pictures, low: 0, high: 1, signed: false, opacity: 0, order: ["a", number] },
        });
      }
      return place.querySelector("figcaption").textContent;
    """
    assert imported(page, heat.script, calls) == "cat"
