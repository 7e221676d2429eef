"""What each step of the lesson says: to the class, and to the teacher alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LessonStep:
    """One step.

    Attributes:
        key: as a class's plan names it.
        title: a few words.
        minutes: that it takes in class.
        text: Markdown, for everybody.
        more: Markdown, what to read afterwards, with references.
        notes: Markdown, for the teacher alone.
    """

    key: str
    title: str
    minutes: float
    text: str
    more: str
    notes: str


_STEPS = (
    LessonStep(
        "bet",
        "Place your bet",
        1,
        "This is a picture as a network sees it: 32 rows of 32 pixels. The network is right about "
        "it. You may change **one** of the 1,024 pixels, to any colour. Will the network change "
        "its mind?",
        "An image that was changed a little so that a classifier gets it wrong is called an "
        "*adversarial example* (Szegedy et al., 2014). Most attacks change every pixel by an "
        "amount too small to see. Su, Vargas and Sakurai (2019) went the other way: one pixel, "
        "changed as much as you like.",
        "Show of hands first, then the phones. Ask somebody why: most say that one pixel in a "
        "thousand cannot matter, since it does not matter to us. Keep the answers on the screen; "
        "they are settled at *Full speed*.",
    ),
    LessonStep(
        "by-hand",
        "You are the attacker",
        2,
        "Choose a pixel and a colour, and look at the bars. Every try is one question to the "
        "network. Who flips it with the fewest?",
        "You see what the attacker sees: a picture goes in, ten probabilities come out. Nobody "
        "opened the network. That is a *black-box* attack, and asking is all that it needs.",
        "Most will try the middle of the object, and black or white. Let them: nearly every pixel "
        "hardly moves the bars, and that is the point. After a minute, give a hint: where do the "
        "bars move at all? Whoever flips it appears on the board.",
    ),
    LessonStep(
        "slow-search",
        "The search, slowly",
        1,
        "**Differential evolution** keeps a few hundred candidates: a place and a colour each. "
        "For every one it makes a rival, by adding the difference of two others to a third. It "
        "asks the network about the rival, and keeps whichever of the two confuses it more.",
        "No gradient is needed, so it works on any classifier that says how sure it is. Su et al. "
        "use 400 candidates, rivals r₁ + 0.5 · (r₂ − r₃), and at most 100 generations (Storn and "
        "Price, 1997, for the method itself).",
        "Press **Slow motion** and step with the class: whose difference, added to whom, and was "
        "the rival better? Ask what happens to the differences once the candidates are close "
        "together: the steps become small by themselves.",
    ),
    LessonStep(
        "full-speed",
        "Full speed",
        1,
        "Now at full speed, from the same picture. Watch the line: how sure the network still is "
        "of the right answer, for the best pixel so far.",
        "A search that fails proves nothing: another start, another method or more questions "
        "might have found a pixel. That is why the lab counts an image as safe only against the "
        "attacks that were tried, and says which.",
        "Settle the bets. If it survives: that is the usual end. Most pictures withstand one "
        "pixel, and it is worth saying; the Results page has the shares, with their intervals.",
    ),
    LessonStep(
        "find-the-pixel",
        "Find the pixel",
        1,
        "Here is the picture after the attack. One pixel was changed. Where?",
        "People recognise what is shown, and hardly notice one odd pixel; a network adds up "
        "evidence from small patches, and one extreme value can weigh as much as a wing. It has "
        "learned what goes with a label, not what the thing is.",
        "Give them twenty seconds without the answer. On a projector it is often harder than on a "
        "phone. Then ask: would you have called this picture damaged?",
    ),
    LessonStep(
        "attention",
        "Where it looks",
        1,
        "Two ways of asking where the network looks: the gate that a defended network has of its "
        "own, and *GradCAM*, which is worked out from any network. Do they cover the pixel that "
        "broke it?",
        "An explanation is a calculation too, with its own mistakes: two methods can disagree "
        "about one picture. The Attention page puts seven beside each other, and counts how far "
        "they agree (Selvaraju et al., 2017, for GradCAM).",
        "The paper expects attention on faces, wheels and wings. Ask whether the class sees that, "
        "before you go to the Classes page, where it is put to the test.",
    ),
    LessonStep(
        "defences",
        "Five defences",
        1,
        "The same picture and the same search, against networks that were defended in different "
        "ways. Who falls first, and who holds?",
        "- **Adversarial training**: learn from attacked pictures too (Goodfellow et al., 2015; "
        "Madry et al., 2018).\n"
        "- **Input transformation**: fewer colours and JPEG before the network looks (Guo et al., "
        "2018).\n"
        "- **Distillation**: learn another network's soft answers (Papernot et al., 2016).\n"
        "- **APR**: a gate on the pixels, attacked pictures, and a penalty on steepness.\n"
        "- A **certificate** is of another kind: a calculation which proves that no single pixel, "
        "of any colour, can change the answer. It needs no trust in any attack, and it covers "
        "one pixel only.",
        "One picture proves nothing about a defence: say it, and show the Results page if there "
        "is time. A defence that only makes the search harder looks safe until somebody finds a "
        "better search.",
    ),
    LessonStep(
        "failure",
        "Where APR fails",
        1,
        "An honest lab shows where its own defence fails. This picture breaks a network that was "
        "trained with APR.",
        "One pixel is a narrow threat. A defence against it may fall to three pixels, to a sticker "
        "on a traffic sign (Eykholt et al., 2018), or to a patch that is printed and held into "
        "the camera. In a car, in medicine or in surveillance, robustness is a matter of the "
        "whole system: several sensors, several models, honest confidence, and a safe way to "
        "fail.",
        "Ask where a wrong label costs most: a stop sign, a scan, a face. Then ask what else, "
        "beside a better network, would keep that mistake from doing harm.",
    ),
    LessonStep(
        "quiz",
        "What stays",
        1,
        "A few questions. Nobody is graded.",
        "The references are below each answer. The lab is yours from here: bring a picture of "
        "your own to the Attack page.",
        "The answers come in on your screen. Take up the question that most got wrong.",
    ),
)
LESSON = {step.key: step for step in _STEPS}


def minutes_of(steps: tuple[str, ...]) -> float:
    """How long these steps take in class."""
    return sum(LESSON[key].minutes for key in steps)
