"""The texts of the lesson's steps: for the class, and for the teacher alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LessonStep:
    """One step.

    Attributes:
        key: its name in a class's plan.
        title: a few words.
        minutes: in class.
        text: Markdown, for everybody.
        more: Markdown, further reading with references.
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
        "A neural network sees this picture as {rows} rows of {columns} pixels, and names it "
        "correctly. You may change **one** of the {pixels:,} pixels to any colour. Will the "
        "network change its answer?",
        "An *adversarial example* is an image that was changed a little so that a classifier gets "
        "it wrong (Szegedy et al., 2014). Most attacks change every pixel by an amount too small "
        "to see. Su, Vargas and Sakurai (2019) did the opposite: one pixel, changed by any amount.",
        "Show of hands first, then the phones. Ask somebody why: most say that one pixel in a "
        "thousand cannot matter, because it does not matter to us. Keep the answers on the screen; "
        "the step *Full speed* shows who was right.",
    ),
    LessonStep(
        "by-hand",
        "You are the attacker",
        2,
        "Choose a pixel and a colour, and look at the bars. Each edit is one **query**: one "
        "picture shown, one answer read. You need to know nothing else about the network. Who "
        "flips its answer with the fewest queries?",
        "You see what the attacker sees: a picture goes in, a probability for each class comes "
        "out. Nobody looked at the network's weights. That is a *black-box* attack: it only needs "
        "queries.",
        "Most will try the middle of the object, and black or white. Let them: nearly every pixel "
        "hardly moves the bars, and this is what they should notice. After a minute, give a hint: "
        "where do the bars move at all? Whoever flips the answer appears on the board.",
    ),
    LessonStep(
        "slow-search",
        "The search, slowly",
        1,
        "**Differential evolution**: mix three guesses, keep the better. The search has a few "
        "hundred candidates, each a place and a colour. In each **generation**, every candidate "
        "gets a child: the difference of two others, added to a third. One query tells which of "
        "the two confuses the network more. That one stays.",
        "No gradient is needed, so it works on any classifier that says how sure it is. Su et al. "
        "use 400 candidates, children r₁ + 0.5 · (r₂ − r₃), and at most 100 generations (Storn and "
        "Price, 1997, for the method itself).",
        "Press **Slow motion** and step through it with the class: which difference is added to "
        "which candidate, and was the child better? Ask what happens to the differences once the "
        "candidates are close together: the steps become small by themselves.",
    ),
    LessonStep(
        "full-speed",
        "Full speed",
        1,
        "The same search, now at full speed and on your picture. The line shows how sure the "
        "network still is of the right answer, for the best pixel so far.",
        "A search that fails proves nothing: another start, another method or more queries might "
        "have found a pixel. This is why the lab counts an image as safe only against the attacks "
        "that were tried, and names them.",
        "Look at the bets. If the picture survives, say that this is the usual end: most pictures "
        "withstand one pixel. The Results page has the shares, with their intervals.",
    ),
    LessonStep(
        "find-the-pixel",
        "Find the pixel",
        1,
        "Another picture, after an attack. One pixel was changed. Where?",
        "People recognise the object and hardly notice one odd pixel. A network adds up evidence "
        "from small patches, and one extreme value can count as much as a wing. It has learned "
        "what often appears together with a label, not what the object is.",
        "Give them twenty seconds without the answer. It is often harder on a projector than on a "
        "phone. The next slide shows the pixel. Then ask: would you have called this picture "
        "damaged?",
    ),
    LessonStep(
        "attention",
        "Where it looks",
        1,
        "Two ways to show where a network looks, on the picture of the step before. The "
        "**attention gate** is a part of the network that APR trains. **GradCAM** is computed from "
        "any network. Does either mark the pixel that did the damage?",
        "An explanation is a calculation with its own errors: two methods can disagree about one "
        "picture. The Attention page shows seven side by side and measures how well they agree "
        "(Selvaraju et al., 2017, for GradCAM).",
        "The paper expects attention on faces, wheels and wings. Ask whether the class sees that, "
        "before you go to the Classes page, where it is tested.",
    ),
    LessonStep(
        "defences",
        "Defences side by side",
        1,
        "Your picture and the same search, on networks with different defences. **APR** is "
        "Adaptive Pixel Resilience, the defence that this lab studies. A network that resists one "
        "search is not proven safe: another search may find a pixel.",
        "- **Adversarial training**: learn from attacked pictures too (Goodfellow et al., 2015; "
        "Madry et al., 2018).\n"
        "- **Input transformation**: fewer colours and JPEG before the network (Guo et al., "
        "2018).\n"
        "- **Distillation**: learn another network's probabilities (Papernot et al., 2016).\n"
        "- **APR**: a gate on the pixels, attacked pictures, and a penalty on steep gradients.\n"
        "- A **certificate** is different: a calculation which proves that no single pixel of any "
        "colour can change the answer. It does not depend on any attack, and covers one pixel "
        "only.",
        "Ask first which network will be fooled. One picture proves nothing about a defence: say "
        "so, and show the Results page if there is time. A defence that only makes the search "
        "harder looks safe until somebody finds a better search.",
    ),
    LessonStep(
        "failure",
        "Where APR fails",
        1,
        "An honest lab shows where its own defence fails. Here one pixel fools a network that was "
        "trained with APR. In the world outside, nobody can set one pixel of a camera. But a "
        "sticker on a road sign is seen by every camera that passes.",
        "One pixel is a narrow threat. Three pixels may get past a defence against it, or a "
        "sticker on a traffic sign (Eykholt et al., 2018), or a printed patch held in front of the "
        "camera. In a car, in medicine or in surveillance, robustness depends on the whole "
        "system: several sensors, several models, honest confidence, and a safe way to fail.",
        "Ask where a wrong label costs most: a stop sign, a scan, a face. Then ask what else, "
        "besides a better network, could prevent harm from that mistake.",
    ),
    LessonStep(
        "threshold",
        "When to ask a person",
        1,
        "A network that is not sure can **withhold** its answer and ask a person. You choose the "
        "**threshold**: below which confidence does it ask? A right answer withheld costs "
        "time. A wrong answer that passes can hurt somebody.",
        "Withholding some answers is called *selective classification*, or classification with a "
        "*reject option* (Chow, 1970; Geifman and El-Yaniv, 2017). The confidence is *calibrated* "
        "first (Guo et al., 2017): a temperature, set on pictures held out for that, makes it "
        "agree better with how often the network is right. The Safety net page has the other "
        "layers that can withhold an answer, and an attack on all of them.",
        "Ask first what a wrong answer costs: in a photo album, in a clinic, in a car. The "
        "threshold depends on that. The screen counts the choices, and their median is the class's "
        "threshold. Ask two students who chose far apart to give their reasons, and let everybody "
        "choose again. The next slide, or the switch on your own page, compares all thresholds. "
        "Ask: what does it cost to let no wrong answer pass? “At least 0” is no proof: nobody "
        "searched against that threshold.",
    ),
    LessonStep(
        "quiz",
        "Quiz",
        1,
        "Nobody is graded.",
        "Each answer comes with its references. Next, upload a picture of your own on the Attack "
        "page.",
        "The answers appear on your screen. When you present, each question is a slide, and the "
        "next slide shows its answer. Discuss the question that most got wrong.",
    ),
)
LESSON = {step.key: step for step in _STEPS}


def minutes_of(steps: tuple[str, ...]) -> float:
    """Minutes that these steps take in class."""
    return sum(LESSON[key].minutes for key in steps)
