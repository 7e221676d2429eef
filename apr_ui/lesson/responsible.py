"""The page on responsible use: titles and their texts, as Markdown."""

from __future__ import annotations

SECTIONS = (
    (
        "What the lab is for",
        "To see how image classifiers fail, to measure it honestly, and to compare defences. The "
        "attacks here are published, and are run on small models whose weights lie beside them. "
        "Showing a weakness in the open is how it comes to be mended; selling an untested defence "
        "is how people are hurt.",
    ),
    (
        "What it is not for",
        "- Attacking a system that is somebody else's, without their written consent. To send a "
        "running service thousands of edited pictures is an attack on it, whatever it answers.\n"
        "- Deciding anything about people. The models know ten kinds of things from CIFAR-10 "
        "(Krizhevsky, 2009) and nothing else.\n"
        "- A seal of approval. That a model survived here is no ground to put it into a car, a "
        "clinic or a camera.",
    ),
    (
        "What a rate says, and what it does not",
        "- A success rate belongs to a model, an attack, a budget and a set of images. Another "
        "attack may find more; the ladder takes the union of several for that reason.\n"
        "- Survival is no proof: the search did not find a pixel. A **certificate** is one, for a "
        "single pixel, and for the masked model that it speaks of.\n"
        "- One pixel is a narrow threat. Changes of every pixel by a little (Goodfellow et al., "
        "2015; Madry et al., 2018), patches, and stickers on real things (Eykholt et al., 2018) "
        "are others, and a defence against one need not help against the next.\n"
        "- Every rate stands with the number of images and an interval. Where an interval is "
        "wide, the honest answer is that nobody knows yet.",
    ),
    (
        "Where it would matter",
        "- **Driving.** A camera that misreads a sign must not be the only thing that decides: "
        "radar, lidar and maps disagree with it, and the car slows down when they do.\n"
        "- **Medicine.** A scan can be changed on its way as well as on the patient. A second "
        "reader, a record of where the picture came from, and a model that may say “I do not "
        "know” do more than a percent of accuracy.\n"
        "- **Surveillance.** A wrong match falls on a person who cannot see how it came about. "
        "Robustness is not the first question there; whether to do it at all is.",
    ),
    (
        "If you find a weakness elsewhere",
        "Write to those who run the system, show them how to see it for themselves, and give them "
        "time before you publish. Ask your teacher, or your institution, before you begin.",
    ),
    (
        "Pictures and data",
        "A picture that you bring stays in the memory of the machine that runs the lab, and is "
        "gone when the lab is stopped. It is sent nowhere else. The lab fetches nothing from "
        "outside but CIFAR-10, once, when somebody first trains a model on it. A class "
        "keeps nicknames, answers and the board until its teacher deletes it, or for 90 days "
        "after it was last used; there are no accounts. Bring no picture of a person who has not "
        "agreed to it.",
    ),
    (
        "References",
        "- J. Su, D. V. Vargas, K. Sakurai. One pixel attack for fooling deep neural networks. "
        "2019.\n"
        "- I. Goodfellow, J. Shlens, C. Szegedy. Explaining and harnessing adversarial examples. "
        "2015.\n"
        "- A. Madry et al. Towards deep learning models resistant to adversarial attacks. 2018.\n"
        "- K. Eykholt et al. Robust physical-world attacks on deep learning visual "
        "classification. 2018.\n"
        "- A. Krizhevsky. Learning multiple layers of features from tiny images. 2009.",
    ),
)
