"""The GPU job: one case of a prediction run. Imported by the GPU worker alone: it loads torch."""

from typing import Any

from annotations.cases.models import Prompt
from annotations.corpora.models import Severity, VideoFinding
from crashdesk.api.errors import Problem
from crashdesk.jobs.running import Running
from crashdesk.storage.files import local_path
from model_assist.crashchat.errors import FrameReadError
from model_assist.predictions import outcome
from model_assist.predictions.engines import engine_for
from model_assist.predictions.models import CasePrediction


def predict_case(running: Running) -> dict[str, Any]:
    """Answer one case. Started twice, it finds its answers written and adds nothing."""
    prediction = CasePrediction.objects.select_related("run__model_version", "case__video__media").get(
        pk=running.job.args["case_prediction"]
    )
    if prediction.predicted_at is not None:
        return {"new_answers": 0}
    case, media = prediction.case, prediction.case.video.media
    if media is None:
        raise Problem("lacks_media", f"Case {case.pk} has no clip to watch.")
    outcome.begin(case.pk)
    prompts = dict(Prompt.objects.filter(guideline_id=case.guideline_id).values_list("kind", "text"))
    engine = engine_for(prediction.run.model_version)
    try:
        with local_path(media.storage_name) as path:
            said = engine.answer(path, prompts)
    except FrameReadError as error:
        VideoFinding.objects.get_or_create(
            video=case.video,
            code="frames_unreadable",
            defaults={"severity": Severity.ERROR, "message": str(error)[:500]},
        )
        raise Problem("frames_unreadable", f"{case.video.name}: {error}") from error
    running.check(fresh=True)
    return {"new_answers": outcome.write(prediction=prediction, said=said)}
