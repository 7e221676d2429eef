"""The Classroom page as a teacher and a student meet it, by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from apr_core.attacks.result import PixelEdit
from apr_core.by_hand.game import begin, try_edit
from apr_core.data.registry import find_dataset
from apr_core.safety.record import GuardRecord
from apr_ui.lesson.attendance import first_plan
from apr_ui.lesson.quiz import QUIZ
from apr_ui.lesson.shows import BETS
from apr_ui.lesson.steps import LESSON
from apr_ui.lesson.threshold import counted, measured
from apr_ui.resources import scorer
from tests.browser.conftest import PATIENT, Server

WINNING = PixelEdit(21, 12, (0, 0, 0))
"""An edit that flips the lesson's picture; the first test holds it to that."""
STEPS = first_plan().steps


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """New browsers, each with a memory of its own."""
    contexts = []

    def open_browser(width: int, height: int = 900) -> Page:
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(PATIENT)
        return tab

    yield open_browser
    for context in contexts:
        context.close()


def tab_to(page: Page, wanted: Locator, most: int = 80) -> None:
    """Press Tab until something has the focus."""
    expect(wanted).to_be_visible()
    for _ in range(most):
        if wanted.evaluate("node => node.getRootNode().activeElement === node"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("The Tab key does not lead there.")


def open_class(page: Page, server: Server) -> str:
    """Open a class by keyboard; returns its address."""
    page.goto(f"{server.url}/classroom")
    tab_to(page, page.get_by_label("Name of the class"))
    page.keyboard.type("9b")
    tab_to(page, page.get_by_role("button", name="Open the class"))
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("presenter")).to_be_visible()
    return page.url


def sit_down(page: Page, address: str, nickname: str) -> None:
    page.goto(address)
    page.get_by_label("Your nickname").press_sequentially(nickname)
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"You are {nickname}.")).to_be_visible()


def go_on(page: Page, number: int) -> None:
    """To a step from the one before it, by a key that means that wherever the focus is."""
    expect(page.get_by_test_id("presenter-where")).to_contain_text(f"Step {number} of")
    page.keyboard.press("PageDown")
    title = LESSON[STEPS[number]].title
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()


def expect_to_fit(page: Page) -> None:
    """A slide that neither scrolls nor lies under the bar, in text that a class can read."""
    page.wait_for_function(
        """() => {
          const main = document.querySelector("[data-testid=stMain]");
          const bar = document.querySelector(".st-key-classroom-bar").getBoundingClientRect();
          const parts = [...document.querySelectorAll(".stMainBlockContainer .stElementContainer")];
          const slide = parts.filter((part) => !part.closest(".st-key-classroom-bar"));
          const bottom = Math.max(...slide.map((part) => part.getBoundingClientRect().bottom));
          const zoom = parseFloat(document.documentElement.style.getPropertyValue("--projector"));
          const code = document.querySelector(".st-key-classroom-bar strong");
          const codeSize = parseFloat(getComputedStyle(code).fontSize) * code.currentCSSZoom;
          const readable = (20 * innerHeight) / 720;
          return main.scrollHeight <= main.clientHeight && main.scrollWidth <= main.clientWidth
            && bottom <= bar.top + 4 && bar.bottom <= innerHeight
            && 24 * zoom >= readable && codeSize > 0.99 * readable;
        }"""
    )


def test_a_slide_that_is_built_anew_is_fitted_again(
    server: Server, visitor: Callable[..., Page]
) -> None:
    """Its content comes into another element, as when the page is built anew under load."""
    projector = visitor(1280, 720)
    address = open_class(projector, server)
    tab_to(projector, projector.get_by_role("button", name="Present", exact=True))
    projector.keyboard.press("Enter")
    expect_to_invite(projector, address.partition("class=")[2])
    projector.evaluate(
        """() => {
          const block = document.querySelector(".stMainBlockContainer > *");
          const other = document.createElement("div");
          block.replaceWith(other);
          other.append(block);
          other.style.height = "1200px";
        }"""
    )
    projector.wait_for_function(
        """() => {
          const main = document.querySelector("[data-testid=stMain]");
          const zoom = document.documentElement.style.getPropertyValue("--projector");
          return main.scrollHeight <= main.clientHeight && parseFloat(zoom) < 0.7;
        }"""
    )


def expect_slide(page: Page, number: int) -> None:
    """The first slide of a step."""
    expect(page.get_by_test_id("presenter-where")).to_contain_text(f"Step {number + 1} of")
    title = LESSON[STEPS[number]].title
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect_to_fit(page)


def show_next(page: Page, number: int) -> None:
    """From the last slide of the step before to a step, by an arrow key wherever the focus is."""
    page.keyboard.press("ArrowRight")
    expect_slide(page, number)


def expect_to_invite(page: Page, code: str) -> None:
    """The join screen: a large code, the address and the QR code, on one screen."""
    expect(page.get_by_role("heading", name="Join the class")).to_be_visible()
    expect(page.get_by_alt_text(re.compile("QR code"))).to_be_in_viewport(ratio=1)
    large = page.get_by_text(code, exact=True).last
    assert large.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") > 100
    expect_to_fit(page)


def bet(page: Page, number: int) -> None:
    page.get_by_text(list(BETS.values())[number]).click()
    expect(page.get_by_text("Your bet is in.")).to_be_visible()


def answer(page: Page, number: int) -> None:
    """Answer the first question by keyboard."""
    tab_to(page, page.get_by_role("radio").first)
    page.keyboard.press("Space")
    for _ in range(number):
        page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Answer").first.press("Enter")


def colour_of(part: Locator) -> str:
    colour: str = part.evaluate("node => getComputedStyle(node).color")
    return colour


def try_by_keyboard(page: Page, edit: PixelEdit) -> None:
    """Move the cursor from the middle of the picture to a pixel, and try it in black."""
    tab_to(page, page.get_by_test_id("canvas-picture"))
    for key, times in (("ArrowRight", edit.x - 16), ("ArrowUp", 16 - edit.y)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press("1")
    page.keyboard.press("Enter")


def test_the_winning_edit_wins() -> None:
    plan = first_plan()
    image, label = find_dataset().test_image(plan.index)
    looking = scorer(plan.model)
    assert try_edit(begin(plan.model, looking, image, label), WINNING, looking).flipped


def watch_the_searches(projector: Page, student: Page) -> None:
    """Steps three to eight, slide by slide."""
    show_next(projector, 2)
    projector.get_by_test_id("player-slow").click()
    expect(projector.get_by_text("Candidate 1 of")).to_be_visible()
    expect_to_fit(projector)
    show_next(projector, 3)
    expect(projector.get_by_text("✓ right")).to_be_visible()
    projector.get_by_test_id("player-play").click()  # the keys go on from there
    show_next(projector, 4)
    expect(projector.get_by_text("✓ right")).to_have_count(0)
    projector.keyboard.press("ArrowRight")  # the second slide of this step tells where it was
    expect(projector.get_by_text("✓ right")).to_be_visible()
    show_next(projector, 5)
    expect(projector.get_by_text("GradCAM", exact=True).first).to_be_visible()
    for page in (projector, student):
        expect(page.get_by_text(re.compile("infidelity", re.IGNORECASE))).to_have_count(0)
    show_next(projector, 6)  # a recording: no search to wait for
    for page in (projector, student):
        expect(page.get_by_text("cat → dog").first).to_be_visible()
        expect(page.get_by_test_id("player-canvas")).to_have_count(0)
    show_next(projector, 7)


def set_thresholds(projector: Page, ada: Page, bo: Page) -> None:
    """Two phones choose far apart; the projector counts them, and then compares all thresholds."""
    record = measured()
    assert record is not None
    median = projector.get_by_text("The class's threshold")
    for page, percent, middle in ((ada, 50, 50), (bo, 99, 74.5)):
        page.get_by_text(f"Below {percent}%", exact=True).click()
        expect(page.get_by_text("Your threshold is in.")).to_be_visible()
        expect(page.get_by_text(f"Your threshold, {percent}%")).to_be_visible()
        expect_counts(page, record, percent)
        expect(projector.get_by_text(f"Below {percent}%: 1")).to_be_visible()
        expect(median).to_contain_text(f"{middle:g}%")
        expect_counts(projector, record, middle)
    expect(median).to_contain_text("the median of 2 choices")
    expect_to_fit(projector)
    projector.keyboard.press("ArrowRight")
    table = projector.get_by_role("region", name="All thresholds")
    expect(table.get_by_role("row", name="Below 99%").get_by_role("cell").first).to_have_text("1")
    expect_to_fit(projector)


def expect_counts(page: Page, record: GuardRecord, percent: float) -> None:
    """The counts of a threshold, as they follow from the record."""
    for line in counted(record, percent).splitlines():
        told = line.removeprefix("- ").replace("**", "")
        expect(page.get_by_role("listitem").filter(has_text=told)).to_be_visible()


def play_the_quiz(projector: Page, ada: Page, bo: Page) -> None:
    """One answers right and the other wrong; the projector shows the answer on the next slide."""
    question = QUIZ[0]
    wrong = (question.right + 1) % len(question.answers)
    answer(ada, question.right)
    answer(bo, wrong)
    expect(ada.get_by_text("the right answer, and yours")).to_be_visible()
    expect(bo.get_by_text(question.because[:30])).to_be_visible()
    colours = {
        colour_of(bo.get_by_text(f"{question.answers[number]} (", exact=False).last)
        for number in (question.right, wrong)
    }
    assert len(colours) == 2
    expect(projector.get_by_text(f"{question.answers[question.right]}: 1")).to_be_visible()
    expect(projector.get_by_text(question.because[:30])).to_have_count(0)
    projector.keyboard.press("PageDown")
    expect(projector.get_by_text(question.because[:30])).to_be_visible()
    projector.keyboard.press("PageDown")
    expect(projector.get_by_text(QUIZ[1].text)).to_be_visible()
    expect_to_fit(projector)


@pytest.mark.parametrize("size", [(1280, 720), pytest.param((1920, 1080), marks=pytest.mark.long)])
def test_two_phones_and_a_projector_play_the_lesson_from_join_to_quiz(
    server: Server, visitor: Callable[..., Page], size: tuple[int, int]
) -> None:
    projector, ada, bo = visitor(*size), visitor(390, 844), visitor(390, 844)
    address = open_class(projector, server)
    tab_to(projector, projector.get_by_role("button", name="Present", exact=True))
    projector.keyboard.press("Enter")
    expect_to_invite(projector, address.partition("class=")[2])
    sit_down(ada, address, "Ada")
    sit_down(bo, address, "Bo")
    expect(projector.get_by_text("2 here")).to_be_visible()

    projector.keyboard.press("ArrowRight")
    expect_slide(projector, 0)
    bet(ada, 0)
    bet(bo, 3)
    expect(projector.get_by_text("Yes, within 100 queries: 1")).to_be_visible()
    expect(projector.get_by_text("No, not with one pixel: 1")).to_be_visible()

    show_next(projector, 1)
    try_by_keyboard(ada, WINNING)
    expect(ada.get_by_text("Flipped: cat → dog").first).to_be_in_viewport(ratio=1)
    best = ada.get_by_test_id("best")
    expect(best).to_contain_text("1. Ada (1)")
    expect(best).to_be_in_viewport(ratio=1)
    expect(ada.get_by_text("on the board, at place 1.")).to_be_visible()
    expect(projector.get_by_role("cell", name="Ada", exact=True)).to_be_visible()
    expect(bo.get_by_test_id("best")).to_contain_text("1. Ada (1)")

    watch_the_searches(projector, ada)
    show_next(projector, 8)
    set_thresholds(projector, ada, bo)
    show_next(projector, 9)
    for page in (ada, bo):
        expect(page.get_by_text(f"Step {len(STEPS)} of {len(STEPS)}")).to_be_visible()
    play_the_quiz(projector, ada, bo)
    projector.get_by_role("button", name="Leave", exact=True).click()
    expect(projector.get_by_role("button", name="Manage")).to_be_visible()


def test_a_class_outlives_reloads_guards_its_key_and_is_deleted(
    server: Server, visitor: Callable[..., Page]
) -> None:
    teacher, student, other = visitor(390), visitor(390), visitor(390)
    teacher.goto(f"{server.url}/classroom")
    teacher.get_by_role("button", name="Open the class").click()
    expect(teacher.get_by_test_id("presenter")).to_be_visible()
    sit_down(student, teacher.url, "Ben")

    go_on(teacher, 1)  # a phone that slept comes back to its seat and its game
    student.get_by_test_id("canvas-picture").focus()
    student.keyboard.press("2")
    student.keyboard.press("Enter")
    expect(student.get_by_text("1 query", exact=True)).to_be_visible()
    student.reload()
    expect(student.get_by_text("You are Ben.")).to_be_visible()
    expect(student.get_by_text("1 query", exact=True)).to_be_visible()
    teacher.reload()
    expect(teacher.get_by_test_id("presenter")).to_be_visible()

    other.goto(teacher.url)  # a guessed key opens nothing
    other.get_by_text("I am the teacher").click()
    field = other.get_by_label("The teacher's key")
    field.fill("letmein")
    field.press("Enter")
    expect(other.get_by_text("This is not the key of class")).to_be_visible()
    expect(other.get_by_test_id("presenter")).to_have_count(0)
    teacher.get_by_role("button", name="Manage").click()
    tools = teacher.get_by_test_id("stPopoverBody")
    expect(tools.locator("code")).to_have_count(0)  # a projector may show this page
    tools.get_by_text("Show the teacher's key").click()
    field.fill(tools.locator("code").first.inner_text())
    field.press("Enter")
    expect(other.get_by_test_id("presenter")).to_be_visible()

    tools.get_by_role("button", name="End the class").click()
    tools.get_by_role("button", name="Cancel").click()
    expect(tools.get_by_role("button", name="End the class")).to_be_visible()
    expect(student.get_by_text("You are Ben.")).to_be_visible()
    tools.get_by_role("button", name="End the class").click()
    tools.get_by_role("button", name="Delete the class").click()
    for page in (teacher, student, other):  # those who were in it see a last page, and no error
        expect(page.get_by_role("heading", name="The class is over")).to_be_visible()
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
    student.reload()
    expect(student.get_by_role("heading", name="The class is over")).to_be_visible()


def test_the_board_is_emptied_only_by_a_second_press(
    server: Server, visitor: Callable[..., Page]
) -> None:
    teacher, student = visitor(1280), visitor(390)
    address = open_class(teacher, server)
    sit_down(student, address, "Ada")
    bet(student, 0)
    expect(teacher.get_by_text("Yes, within 100 queries: 1")).to_be_visible()
    teacher.get_by_role("button", name="Manage").click()
    tools = teacher.get_by_test_id("stPopoverBody")
    tools.get_by_role("button", name="Empty the board").click()
    expect(tools.get_by_text("cannot be undone")).to_be_visible()
    tools.get_by_role("button", name="Cancel").click()
    tools.get_by_role("button", name="Empty the board").click()
    expect(teacher.get_by_text("Yes, within 100 queries: 1")).to_be_visible()
    tools.get_by_role("button", name="Empty them").click()
    expect(teacher.get_by_text("Yes, within 100 queries: 0")).to_be_visible()
    expect(student.get_by_text("Your bet is in.")).to_have_count(0)


def test_the_lesson_alone_is_walked_by_keys_and_found_again(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/classroom")
    tab_to(page, page.get_by_role("button", name="Begin the lesson"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=LESSON[STEPS[0]].title)).to_be_visible()
    for number in range(1, len(STEPS)):
        go_on(page, number)
    page.reload()
    expect(page.get_by_role("heading", name=LESSON[STEPS[-1]].title)).to_be_visible()


def test_the_clock_runs_and_outlives_a_reload(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/classroom?alone=1")
    clock = page.get_by_test_id("presenter-clock")
    expect(clock).to_have_text("Start 11:00")
    clock.press("Enter")
    expect(clock).to_contain_text("of 11:00")
    expect(clock).not_to_have_text(re.compile(r"\b0:0[01] "))
    page.reload()
    expect(clock).to_contain_text("of 11:00")
    assert clock.inner_text() > "0:02"
