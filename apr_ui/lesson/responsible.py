"""The page on responsible use: titles and their texts, as Markdown."""

from __future__ import annotations

SECTIONS = (
    (
        "Purpose",
        "The lab shows how image classifiers fail, measures it honestly, and compares defences. "
        "The attacks here are published, and run on small models whose weights are included. A "
        "weakness that is shown openly can be fixed; a defence that is sold untested can hurt "
        "people.",
    ),
    (
        "Uses to avoid",
        "- Attacking somebody else's system without their written consent. Sending a running "
        "service thousands of edited pictures is an attack on it, whatever it answers.\n"
        "- Deciding anything about people. Each model knows the classes that it was trained on and "
        "nothing else. The ultrasound pictures are a benchmark of 28 × 28 pixels (Yang et al., "
        "2023), and no model here is a medical device.\n"
        "- Approving a model. That a model survived an attack here is no reason to use it in a "
        "car, a clinic or a camera.",
    ),
    (
        "Stickers",
        "A sticker here is learned for one model whose weights are in your hands, to show in a "
        "room that a printed square can matter more to a network than the thing beside it, and to "
        "test whether a defence notices. It is not for signs, cameras or tills that others rely "
        "on: on a road it could hurt somebody, whichever model reads the sign.\n\n"
        "The paper's four concerns stand for stickers as for pixels: what is learned here can be "
        "turned against others (dual use); cars, clinics and guards need defences that were tested "
        "(safety); what a model looks at can tell of private pictures (privacy); and a system that "
        "seems robust is relied on for more than it can bear (impact on society).",
    ),
    (
        "Limits of a measured rate",
        "- A success rate belongs to a model, an attack, a budget and a set of images. Another "
        "attack may find more; this is why we combine several.\n"
        "- Survival is not a proof: the search only did not find a pixel. A **certificate** is a "
        "proof, for a single pixel, and only for the masked model that it names.\n"
        "- One pixel is a narrow threat. Changes of every pixel by a little (Goodfellow et al., "
        "2015; Madry et al., 2018), patches, and stickers on real things (Eykholt et al., 2018) "
        "are others, and a defence against one may not help against another.\n"
        "- Every rate has its number of images and an interval. If the interval is wide, the "
        "honest answer is that nobody knows yet.",
    ),
    (
        "Applications where it matters",
        "- **Driving.** A camera that misreads a sign must not decide alone: radar, lidar and maps "
        "can disagree with it, and then the car should slow down.\n"
        "- **Medicine.** A scan can be changed in transmission as well as at the patient. A second "
        "reader, a record of the picture's origin, and a model that can answer “I do not know” "
        "help more than a percent of accuracy.\n"
        "- **Surveillance.** A wrong match hurts a person who cannot find out how it happened. The "
        "first question there is not robustness, but whether to do it at all.",
    ),
    (
        "Weaknesses that you find elsewhere",
        "Write to the people who run the system, show them how to reproduce it, and give them time "
        "before you publish. Ask your teacher or your institution before you begin.",
    ),
    (
        "Pictures and data",
        "A picture that you upload stays in the memory of the machine that runs the lab, and is "
        "gone when the lab stops. It is sent nowhere else. The app downloads nothing but CIFAR-10, "
        "once, when somebody first trains a model on it; other data sets and libraries' models are "
        "fetched when whoever runs the lab asks for them. A class keeps nicknames, answers and the "
        "board until its teacher deletes it, or for 90 days after its last use; there are no "
        "accounts. Upload no picture of a person who has not agreed to it.",
    ),
    (
        "References",
        "- J. Su, D. V. Vargas, K. Sakurai. One pixel attack for fooling deep neural networks. "
        "2019.\n"
        "- I. Goodfellow, J. Shlens, C. Szegedy. Explaining and harnessing adversarial examples. "
        "2015.\n"
        "- A. Madry et al. Towards deep learning models resistant to adversarial attacks. 2018.\n"
        "- T. B. Brown et al. Adversarial patch. 2017.\n"
        "- K. Eykholt et al. Robust physical-world attacks on deep learning visual "
        "classification. 2018.\n"
        "- A. Krizhevsky. Learning multiple layers of features from tiny images. 2009.\n"
        "- J. Yang et al. MedMNIST v2, a large-scale lightweight benchmark. 2023.",
    ),
)
