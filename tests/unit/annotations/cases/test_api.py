from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.models import VideoFinding
from crashdesk.accounts.models import Membership, Role, User
from tests.factories import CRASH, add_drafts, make_case, make_corpus, make_guideline, make_video

pytestmark = pytest.mark.django_db


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_login(user)
    return api


def test_cases_are_filtered(annotator: User) -> None:
    corpus = make_corpus()
    ready = make_case(video=make_video(corpus, source="a", name="videos/one.mp4"))
    lacking = make_case(video=make_video(corpus, source="b", recording="r", media=None))
    other = make_case(CaseStatus.PREDICTED, guideline=make_guideline({"crash_recognition": "?"}))
    api = client(annotator)

    def found(query: str) -> list[int]:
        return [row["id"] for row in api.get(f"/api/cases?{query}").json()["results"]]

    assert found("") == [ready.pk, lacking.pk, other.pk]
    assert found(f"corpus={corpus.pk}") == [ready.pk, lacking.pk]
    assert found("status=ready") == [ready.pk]
    assert found("status=ready&status=predicted") == [ready.pk, other.pk]
    assert found("source=b") == [lacking.pk]
    assert found("recording=r") == [lacking.pk]
    assert found("lacks_media=true") == [lacking.pk]
    assert found(f"guideline={other.guideline_id}") == [other.pk]
    assert found(f"video={ready.video_id}") == [ready.pk]
    assert found("search=ONE") == [ready.pk]
    assert found("ordering=-id") == [other.pk, lacking.pk, ready.pk]
    assert api.get("/api/cases?status=lost").status_code == 400


def test_words_find_clips_by_the_beginnings_of_their_parts(annotator: User) -> None:
    one = make_case(video=make_video(name="videos/cap_10_00012.mp4", recording="Wet-Road.7"))
    two = make_case(video=make_video(name="videos/dada_10_00120.MP4", recording="dry road", media=None))
    api = client(annotator)
    for words, found in {
        "cap 10": [one.pk], "CAP_10": [one.pk], "00012.mp4": [one.pk], "0001": [one.pk], "10": [one.pk, two.pk],
        "10 videos/": [one.pk, two.pk], "road wet": [one.pk], "7": [one.pk], "ap_1": [], "cap 11": [],
        "' & !x:*": [], "%": [], "\\": [], "é": [],
    }.items():  # fmt: skip
        rows = api.get("/api/cases", {"search": words}).json()["results"]
        assert [row["id"] for row in rows] == found, words
        rows = api.get("/api/videos", {"search": words}).json()["results"]
        assert [row["id"] for row in rows] == [
            video for video in (one.video_id, two.video_id) if Case.objects.get(video=video).pk in found
        ], words


def test_the_thousandth_page_in_review_order_is_found_by_the_index(reviewer: User) -> None:
    cases = [make_case() for _ in range(6)]
    for rank, case in enumerate(reversed(cases[:3])):
        Case.objects.filter(pk=case.pk).update(review_rank=rank)
    api = client(reviewer)
    first = api.get("/api/cases?ordering=review_rank&page_size=2").json()
    with CaptureQueriesContext(connection) as queries:
        second = api.get(first["next"]).json()
    (walk,) = [query["sql"] for query in queries if "LIMIT 3" in query["sql"]]
    third = api.get(second["next"]).json()
    ids = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert ids == [case.pk for case in (*reversed(cases[:3]), *cases[3:])]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {walk}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "using case_by_rank" in plan
    assert "Index Cond: (ROW(COALESCE(" in plan


def test_the_list_of_cases_costs_the_same_however_long(
    annotator: User, django_assert_max_num_queries: Any
) -> None:
    guideline = make_guideline()
    for _ in range(25):
        make_case(guideline=guideline)
    api = client(annotator)
    with django_assert_max_num_queries(8):
        rows = api.get("/api/cases").json()["results"]
    assert len(rows) == 25
    assert rows[0]["video"]["duration_us"] == 5_000_000


def test_a_case_tells_everything(annotator: User, django_assert_max_num_queries: Any) -> None:
    case = make_case(CaseStatus.APPROVED)
    for version in ("m2", "m3"):
        add_drafts(case, {**CRASH, Kind.CRASH_RECOGNITION: Said("unparsable", None)}, model_version=version)
    VideoFinding.objects.create(video=case.video, code="too_small", severity="info", message="m")
    api = client(annotator)
    with django_assert_max_num_queries(18):
        body = api.get(f"/api/cases/{case.pk}").json()
    assert body["status"] == "approved"
    assert len(body["answers"]) == case.answers.count()
    by_id = {answer["id"]: answer for answer in body["answers"]}
    assert {row["kind"] for row in body["approved"]} == set(Kind.values)
    assert {by_id[row["answer"]]["model_version"] for row in body["approved"]}.isdisjoint({"m2", "m3"})
    assert by_id[body["drafts"]["crash_recognition"]]["model_version"] == "m3"
    assert body["current"] == {row["kind"]: row["answer"] for row in body["approved"]}
    assert body["findings"] == []
    assert body["history"][-1]["verb"] == "case.created"
    assert [finding["code"] for finding in body["video"]["findings"]] == ["too_small"]
    assert body["video"]["media"]["proxy_fps"] == {"num": 30, "den": 1}
    assert body["video"]["proxy_url"] == f"/api/videos/{case.video_id}/proxy"
    assert [prompt["kind"] for prompt in body["guideline"]["prompts"]] == Kind.values


def test_a_case_names_the_rules_its_answers_break(annotator: User) -> None:
    case = make_case(CaseStatus.PREDICTED, said={**CRASH, Kind.CRASH_LOCALIZATION: Said("absent", None)})
    body = client(annotator).get(f"/api/cases/{case.pk}").json()
    assert [(finding["code"], finding["blocks"]) for finding in body["findings"]] == [
        ("crash_without_time", True)
    ]


def test_a_case_without_media_or_answers_can_be_looked_at(annotator: User) -> None:
    case = make_case(video=make_video(media=None))
    body = client(annotator).get(f"/api/cases/{case.pk}").json()
    assert (body["video"]["media"], body["video"]["proxy_url"], body["video"]["duration_us"]) == (
        None,
        None,
        None,
    )
    assert {finding["code"] for finding in body["findings"]} == {"missing_answer"}


def test_guidelines_come_with_their_prompts(annotator: User, django_assert_max_num_queries: Any) -> None:
    for version in range(5):
        make_guideline({"crash_recognition": f"Crash {version}?"})
    api = client(annotator)
    with django_assert_max_num_queries(7):
        body = api.get("/api/guidelines?name=six tasks").json()
    assert [row["version"] for row in body["results"]] == [5, 4, 3, 2, 1]
    assert body["results"][0]["prompts"][0]["text"] == "Crash 4?"


def test_nothing_is_written_here_and_strangers_see_nothing(admin: User) -> None:
    case = make_case()
    assert client(admin).post("/api/cases", {}).status_code in (403, 405)
    assert client(admin).delete(f"/api/cases/{case.pk}").status_code in (403, 405)
    for path in ("cases", f"cases/{case.pk}", "guidelines"):
        assert APIClient().get(f"/api/{path}").status_code == 401


def test_the_admin_pages_open(admin: User) -> None:
    case = make_case(CaseStatus.PREDICTED)
    api = client(admin)
    for model in ("guideline", "case", "answer", "approvedanswer"):
        assert api.get(f"/admin/cases/{model}/").status_code == 200
    assert api.get(f"/admin/cases/guideline/{case.guideline_id}/change/").status_code == 200


def test_only_who_sees_how_cases_stand_sorts_by_when_they_changed(annotator: User, reviewer: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    api = client(annotator)
    refused = api.get("/api/cases?ordering=-status_changed_at")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ordering_not_open")
    assert api.get("/api/cases?ordering=-review_rank").status_code == 400
    api = client(reviewer)
    assert api.get("/api/cases?ordering=-review_rank").status_code == 200
    rows = api.get("/api/cases?ordering=-status_changed_at").json()["results"]
    assert [row["id"] for row in rows] == [case.pk]
    elsewhere = make_corpus()
    Membership.objects.create(user=reviewer, corpus=elsewhere, role=Role.ANNOTATOR)
    for order in ("status_changed_at", "review_rank"):
        assert api.get(f"/api/cases?ordering={order}").status_code == 400
        assert api.get(f"/api/cases?ordering={order}&corpus={case.corpus_id}").status_code == 200
        assert api.get(f"/api/cases?ordering={order}&corpus={elsewhere.pk}").status_code == 400
