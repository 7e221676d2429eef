"""The Results page: the paper's tables beside ours, read from the records."""

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.evaluation.model_summary import is_past
from apr_core.report.speeds import read_speeds
from apr_ui.errors import errors_on_page
from apr_ui.frame import begin_page
from apr_ui.resources import all_cards, certificates, evaluations, tables
from apr_ui.results.paper_tables import show_table
from apr_ui.results.summary import show_summary
from apr_ui.results.verdicts import show_verdicts
from apr_ui.results.view import (
    show_curves,
    show_definitions,
    show_lattices,
    show_records,
    show_speeds,
)
from apr_ui.words import plain

begin_page("results")
records, damaged = evaluations()
proofs, damaged_proofs = certificates()
for sentence in (*damaged, *damaged_proofs):
    st.warning(plain(sentence), icon=":material/broken_image:")
with errors_on_page():
    show_summary(tables())
    show_definitions()
    for table in tables():
        show_table(table)
    show_verdicts(tables())
    show_lattices(proofs)
    show_speeds(read_speeds())
st.header("Evaluations", anchor=False)
if records:
    models = all_cards()[0]
    few = [record for record in records if record.setting.sparse]  # the others ask once an image
    show_curves([record for record in few if not is_past(record, models)])
    show_records(records, models)
else:
    st.info(
        "There are no records yet. This makes a first one: `python -m apr_core evaluate --model "
        "cifar10-resnet20-vanilla --images 50 --attack corners`.",
        icon=":material/science:",
    )
