"""Who may ask the API for what. test_permission_matrix.py holds every endpoint to it, so a new one needs its line.

`ROLES`: what each role may do, in every corpus alike. `ENDPOINTS`: which of these each endpoint needs.
"""

from typing import Final

_REVIEWER: Final = "anyone signed-in view review"
_LEAD: Final = (
    "adjudicate assign manage_members audit_log approve exclude import predict sync select freeze export cancel"
)

ROLES: Final = {
    "anonymous": "anyone",
    "annotator": _REVIEWER,
    "reviewer": f"{_REVIEWER} adjudicate approve exclude",
    "lead": f"{_REVIEWER} {_LEAD}",
    "engineer": "anyone signed-in view import predict sync select freeze export cancel train promote",
    "admin": f"{_REVIEWER} {_LEAD} train promote",
}

ENDPOINTS: Final = {
    # Open to the whole world: keep it short, and say why.
    "anyone": [
        "GET /api/schema",  # the API's description holds no data
        "GET /api/docs",  # the same for people
        "POST /api/token",  # exchanges a password for a token
    ],
    # Carries a secret of its own instead of a person: refused to everybody who has none.
    "secret": [
        "GET /api/labelstudio/guard",
        "GET /api/labelstudio/media/{sha256}/{end}/{signature}.mp4",
        "POST /api/labelstudio/webhook",
    ],
    "signed-in": [
        "GET /api/me",
    ],
    "view": [
        "GET /api/audit-acknowledgements",
        "GET /api/audit-acknowledgements/{pk}",
        "GET /api/audits",
        "GET /api/audits/{pk}",
        "GET /api/audits/{pk}/clips",
        "GET /api/audits/{pk}/diff",
        "GET /api/buckets",
        "GET /api/buckets/{pk}",
        "GET /api/buckets/{pk}/objects",
        "GET /api/calibrations",
        "GET /api/calibrations/{pk}",
        "GET /api/cases",
        "GET /api/cases/{pk}",
        "GET /api/corpora",
        "GET /api/corpora/{pk}",
        "GET /api/dataset-versions",
        "GET /api/dataset-versions/{pk}",
        "GET /api/dataset-versions/{pk}/diff",
        "GET /api/dataset-versions/{pk}/exports",
        "GET /api/dataset-versions/{pk}/records",
        "GET /api/dataset-versions/{pk}/verify",
        "GET /api/duplicate-clusters",
        "GET /api/duplicate-clusters/{pk}",
        "GET /api/duplicate-verdicts",
        "GET /api/duplicate-verdicts/{pk}",
        "GET /api/exports",
        "GET /api/exports/{pk}",
        "GET /api/guidelines",
        "GET /api/guidelines/{pk}",
        "GET /api/imports",
        "GET /api/imports/{pk}",
        "GET /api/imports/{pk}/rejections",
        "GET /api/jobs",
        "GET /api/jobs/{pk}",
        "GET /api/labelstudio/projects",
        "GET /api/labelstudio/projects/{pk}",
        "GET /api/labelstudio/projects/{pk}/reconciliation",
        "GET /api/loop",
        "GET /api/model-versions",
        "GET /api/model-versions/{pk}",
        "GET /api/prediction-runs",
        "GET /api/prediction-runs/{pk}",
        "GET /api/prediction-runs/{pk}/cases",
        "GET /api/prediction-runs/{pk}/progress",
        "GET /api/reviews",
        "GET /api/reviews/{pk}",
        "GET /api/selection-rounds",
        "GET /api/selection-rounds/{pk}",
        "GET /api/training-runs",
        "GET /api/training-runs/{pk}",
        "GET /api/uploads",
        "GET /api/uploads/{pk}",
        "GET /api/uploads/{pk}/parts",
        "GET /api/videos",
        "GET /api/videos/{pk}",
        "GET /api/videos/{pk}/proxy",
        "GET /api/videos/{pk}/storyboard",
        "GET /api/videos/{pk}/storyboard.vtt",
        "GET /api/videos/{pk}/thumbnail",
        "GET /api/comments",
        "GET /api/comments/{pk}",
        "GET /api/inbox",
        "POST /api/comments",
        "PATCH /api/comments/{pk}",
        "POST /api/comments/{pk}/reopen",
        "POST /api/comments/{pk}/reply",
        "POST /api/comments/{pk}/resolve",
        "POST /api/inbox/read",
    ],
    "review": [
        "GET /api/activity/ticket",
        "POST /api/activity",
    ],
    "approve": [
        "GET /api/suspects",
        "GET /api/suspects/{pk}",
        "POST /api/suspects/search",
        "POST /api/suspects/{pk}/confirm",
        "POST /api/suspects/{pk}/dismiss",
        "POST /api/suspects/{pk}/return",
        "POST /api/cases/approve",
        "POST /api/cases/{pk}/approve",
        "POST /api/cases/{pk}/return",
        "POST /api/cases/{pk}/return-with-comment",
    ],
    "exclude": [
        "POST /api/cases/{pk}/exclude",
        "POST /api/cases/{pk}/reopen",
    ],
    "import": [
        "POST /api/audits",
        "POST /api/buckets",
        "POST /api/buckets/{pk}/sync",
        "POST /api/corpora",
        "POST /api/duplicate-clusters",
        "POST /api/duplicate-clusters/search",
        "POST /api/duplicate-clusters/{pk}/add",
        "POST /api/duplicate-clusters/{pk}/confirm",
        "POST /api/duplicate-clusters/{pk}/merge",
        "POST /api/duplicate-clusters/{pk}/remove",
        "DELETE /api/duplicate-verdicts/{pk}",
        "POST /api/imports",
        "POST /api/table-previews",
        "POST /api/uploads",
        "DELETE /api/uploads/{pk}",
        "PATCH /api/uploads/{pk}",
        "POST /api/uploads/{pk}/complete",
        "POST /api/uploads/{pk}/parts",
        "POST /api/videos/{pk}/examine-again",
    ],
    "predict": [
        "POST /api/calibrations",
        "POST /api/cases/{pk}/predict",
        "POST /api/prediction-runs",
        "POST /api/prediction-runs/estimate",
        "POST /api/prediction-runs/{pk}/resume",
        "POST /api/prediction-runs/{pk}/retry-failed",
    ],
    "sync": [
        "POST /api/labelstudio/pull",
        "POST /api/labelstudio/push",
        "POST /api/labelstudio/reconcile",
    ],
    "select": [
        "POST /api/selection-rounds",
    ],
    "freeze": [
        "POST /api/audit-acknowledgements/{pk}/withdraw",
        "POST /api/audits/{pk}/acknowledge",
        "POST /api/dataset-versions",
    ],
    "export": [
        "GET /api/agreement",
        "GET /api/agreement.csv",
        "GET /api/effort",
        "GET /api/effort.csv",
        "POST /api/dataset-versions/{pk}/export",
        "GET /api/exports/{pk}/download",
    ],
    "train": [
        "POST /api/training-runs",
    ],
    "promote": [
        "POST /api/model-versions/{pk}/promote",
    ],
    "cancel": [
        "POST /api/jobs/{pk}/cancel",
        "POST /api/jobs/{pk}/retry",
        "POST /api/prediction-runs/{pk}/cancel",
        "POST /api/prediction-runs/{pk}/pause",
        "POST /api/training-runs/{pk}/cancel",
    ],
}
