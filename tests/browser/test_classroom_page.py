"""The Classroom page as a teacher and a student meet it, by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from apr_core.attacks.result import PixelEdit
from apr_core.by_hand.game import begin, try_edit
from apr_core.data.registry import find_dataset
from apr_ui.lesson.attendance import first_plan
from apr_ui.lesson.quiz import QUIZ
from apr_ui.lesson.steps import LESSON
from apr_ui.resources import scorer
from tests.browser.conftest import PATIENT, Server

WINNING = PixelEdit(21, 12, (0, 0, 0))
"""An edit that flips the lesson's picture; the first test holds it to that."""
STEPS = first_plan().steps


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Callable[[int], Page]]:
    """New browsers, each with a memory of its own."""
    contexts = []

    def open_browser(width: int) -> Page:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}))
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


@pytest.mark.parametrize("width", [390, pytest.param(1280, marks=pytest.mark.long)])
def test_a_class_plays_the_lesson_from_end_to_end(
    server: Server, visitor: Callable[[int], Page], width: int
) -> None:
    teacher, student = visitor(width), visitor(390)
    address = open_class(teacher, server)
    sit_down(student, address, "Ada")
    tab_to(teacher, teacher.get_by_role("button", name="Present", exact=True))
    teacher.keyboard.press("Enter")
    expect(teacher.get_by_role("button", name="Leave", exact=True)).to_be_visible()
    size = "() => parseFloat(getComputedStyle(document.documentElement).fontSize)"
    teacher.wait_for_function(f"({size})() >= 24")
    expect(teacher.get_by_role("link", name="Attack", exact=True)).to_have_count(0)

    tab_to(student, student.get_by_role("radio").first)
    student.keyboard.press("Space")
    expect(teacher.get_by_text("Yes, within 100 queries: 1")).to_be_visible()

    go_on(teacher, 1)
    expect(student.get_by_role("heading", name=LESSON[STEPS[1]].title)).to_be_visible()
    try_by_keyboard(student, WINNING)
    expect(student.get_by_text("on the board, at place 1.")).to_be_visible()
    expect(teacher.get_by_role("cell", name="Ada", exact=True)).to_be_visible()

    for number in range(2, len(STEPS)):
        go_on(teacher, number)
        expect(student.get_by_text(f"Step {number + 1} of {len(STEPS)}")).to_be_visible()
    tab_to(student, student.get_by_role("radio").first)
    for _ in range(QUIZ[0].right):
        student.keyboard.press("ArrowDown")
    expect(student.get_by_text(QUIZ[0].because[:30])).to_be_visible()
    expect(teacher.get_by_text(f"{QUIZ[0].answers[QUIZ[0].right]}: 1")).to_be_visible()

    teacher.keyboard.press("PageUp")
    expect(student.get_by_text(f"Step {len(STEPS) - 1} of {len(STEPS)}")).to_be_visible()


def test_a_class_outlives_reloads_guards_its_key_and_is_deleted(
    server: Server, visitor: Callable[[int], Page]
) -> None:
    teacher, student, other = visitor(1280), visitor(390), visitor(390)
    teacher.goto(f"{server.url}/classroom")
    teacher.get_by_role("button", name="Open the class").click()
    expect(teacher.get_by_test_id("presenter")).to_be_visible()
    sit_down(student, teacher.url, "Ben")

    go_on(teacher, 1)  # a phone that slept comes back to its seat and its game
    student.get_by_test_id("canvas-picture").focus()
    student.keyboard.press("2")
    student.keyboard.press("Enter")
    expect(student.get_by_text("1 try", exact=True)).to_be_visible()
    student.reload()
    expect(student.get_by_text("You are Ben.")).to_be_visible()
    expect(student.get_by_text("1 try", exact=True)).to_be_visible()
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
    field.fill(teacher.get_by_test_id("stPopoverBody").locator("code").first.inner_text())
    field.press("Enter")
    expect(other.get_by_test_id("presenter")).to_be_visible()

    teacher.get_by_text("This class is over").click()  # those in a deleted class are told
    teacher.get_by_role("button", name="Delete the class and all of it").click()
    for page in (teacher, student, other):
        expect(page.get_by_text("There is no class")).to_be_visible()
        expect(page.get_by_role("heading", name="Join a class")).to_be_visible()


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
    expect(clock).to_have_text("Start 10:00")
    clock.press("Enter")
    expect(clock).to_contain_text("of 10:00")
    expect(clock).not_to_have_text(re.compile(r"\b0:0[01] "))
    page.reload()
    expect(clock).to_contain_text("of 10:00")
    assert clock.inner_text() > "0:02"
