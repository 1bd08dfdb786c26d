"""Findings that name people: who reads them, in the API and on the pages."""

import pytest
from django.test import Client

from annotations.corpora.models import Severity, Video, VideoFinding
from annotations.corpora.restricted import RESTRICTED, seen_by
from annotations.labelstudio.refusals import FINDING
from crashdesk.accounts.models import Membership, Role, User
from tests.factories import make_user, make_video

pytestmark = pytest.mark.django_db


@pytest.fixture
def video() -> Video:
    video = make_video()
    for code, message in ((FINDING, "ann has answered, and so has ben"), ("too_dark", "dark")):
        VideoFinding.objects.create(
            video=video, code=code, subject="task 7", severity=Severity.ERROR, message=message, data={}
        )
    return video


def test_the_code_is_the_one_that_a_pull_gives() -> None:
    assert frozenset({FINDING}) == RESTRICTED


@pytest.mark.parametrize(
    ("role", "sees"),
    [(Role.ANNOTATOR, 1), (Role.REVIEWER, 2), (Role.LEAD, 2), (Role.ENGINEER, 2), (Role.ADMIN, 2)],
)
def test_who_approves_or_synchronises_reads_them(client: Client, role: Role, sees: int, video: Video) -> None:
    client.force_login(make_user(role))
    told = client.get(f"/api/videos/{video.pk}").json()
    assert (len(told["findings"]), told["finding_count"]) == (sees, sees)
    listed = client.get(f"/api/videos?finding={FINDING}").json()["results"]
    assert len(listed) == sees - 1
    for page in (f"/videos/{video.pk}", f"/corpora/{video.corpus_id}/videos", f"/corpora/{video.corpus_id}"):
        answer = client.get(page)
        assert answer.status_code == 200
        html = answer.content.decode()
        assert ("so has ben" in html or FINDING in html) is (sees == 2)


def test_the_role_in_the_corpus_counts(video: Video) -> None:
    user, found = make_user(Role.ANNOTATOR), VideoFinding.objects.all()
    Membership.objects.create(user=user, corpus_id=video.corpus_id, role=Role.REVIEWER)
    assert seen_by(found, user).count() == 2
    VideoFinding.objects.create(
        video=make_video(), code=FINDING, subject="x", severity=Severity.ERROR, message="m", data={}
    )
    assert seen_by(found, user).count() == 2
    lead: User = make_user(Role.LEAD)
    Membership.objects.create(user=lead, corpus_id=video.corpus_id, role=Role.ANNOTATOR)
    assert seen_by(found, lead).count() == 2
