"""Everything that wants a GPU, in order of worth, within so many minutes.

    python -m scripts.full_scale --minutes 9 --out FOLDER   # on a GPU
    python -m scripts.full_scale --only resnet18            # the jobs with this in their names
    python -m scripts.full_scale --list                     # what there is to do, and what is done
    python -m scripts.full_scale --toy                      # a rehearsal, in a temporary folder

`docs/GPU.md` says how it is used on a machine that is reached by copying files. First every path
that only a GPU takes is tried at toy size (`smoke`), and a failure stops the run. Then speeds are
measured (`speeds`), and jobs are done in order (`jobs`), as far as they fit in the time that is
left (`plan`). Each job is a command of `apr_core`; one whose result is there already is skipped,
and one that was cut off goes on where it was. What is new is packed at the end (`parcels`).

All models are trained by one recipe, so that they may be compared: one that was made by another,
as on a processor, is trained anew, and what was measured of it is measured again.
"""
