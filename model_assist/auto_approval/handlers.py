"""The jobs of auto-approval; their modules load scipy, which only workers need."""

from crashdesk.jobs.registry import register
from model_assist.auto_approval.services import CERTIFY, DRAW, NEEDS, PREVIEW, RUN, UNDO

_ROOM = "model_assist.auto_approval"
register(DRAW, queue="data", run=f"{_ROOM}.certifying.draw", needs=NEEDS)
register(CERTIFY, queue="data", run=f"{_ROOM}.certifying.certify", needs=NEEDS)
register(RUN, queue="data", run=f"{_ROOM}.deciding.run", needs=NEEDS)
register(UNDO, queue="data", run=f"{_ROOM}.undoing.undo", needs=NEEDS)
register(PREVIEW, queue="data", run=f"{_ROOM}.preview.run", needs=NEEDS)
