"""Freezing, verifying and exporting with a real database and storage."""

import json
from typing import Any
from zipfile import ZipFile

import pytest
from django.core.files.storage import default_storage

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.cases.workflow import move
from annotations.corpora.models import DuplicateCluster, DuplicateMember
from annotations.datasets import services
from annotations.datasets.models import DatasetRecord, DatasetVersion, Export
from annotations.reviews.decisions import approve
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from crashdesk.storage.files import local_path
from tests.factories import CRASH, make_case, make_corpus, make_guideline, make_media, make_user, make_video
from tests.unit.annotations.datasets.conftest import Approved


def freeze(approved: Approved, **changes: Any) -> DatasetVersion:
    arguments: dict[str, Any] = {
        "corpus": approved.corpus, "guideline": approved.guideline, "split_seed": 4, "val_share": 0.2,
        "test_share": 0.2, "by": None,
    }  # fmt: skip
    return services.freeze(**(arguments | changes))


def say_otherwise(approved: Approved, index: int, **said: Said) -> None:
    """Return a case and approve another answer."""
    case = approved.cases[index]
    case.refresh_from_db()
    move(case, CaseStatus.RETURNED, by=None, reason="look again")
    record_submission(
        case=case, reviewer=make_user(), origin=f"again:{case.pk}", answers={**CRASH, **said}, drafts=drafts(case),
        lead_seconds=3.0, revision="2",
    )  # fmt: skip
    case.refresh_from_db()
    approve(case=case, by=make_user(Role.LEAD))


def test_a_version_holds_the_approved_cases_and_says_where_answers_came_from(
    approved: Approved, lead: User
) -> None:
    version = freeze(approved, note="first", by=lead)
    assert (version.number, version.record_count, version.note, version.created_by) == (1, 6, "first", lead)
    records = list(version.records.all())
    assert [r.content["video"] for r in records] == sorted(case.video.name for case in approved.cases)
    assert {r.split for r in records} == {"train", "val", "test"}
    assert {r.case_id for r in records} == {case.pk for case in approved.cases}
    case = approved.cases[1]
    content = next(r.content for r in records if r.case_id == case.pk)
    span = content["answers"][Kind.CRASH_LOCALIZATION]
    assert span["value"] == {"start_us": 2_000_000, "end_us": 3_500_000}
    pointer = ApprovedAnswer.objects.get(case=case, kind=Kind.CRASH_LOCALIZATION)
    lineage = span["lineage"]
    assert lineage["answer_id"] == pointer.answer_id
    assert (lineage["author_kind"], lineage["author"], lineage["draft_answer_id"]) == ("model", "tiny", None)
    assert pointer.approved_by is not None
    assert lineage["approved_by"] == pointer.approved_by.username
    assert lineage["approved_at"].endswith("Z")
    media = case.video.media
    assert (content["sha256"], content["duration_us"]) == (media.sha256, media.duration_us)
    assert content["licence"] == "CC BY 4.0"
    event = AuditEvent.objects.get(verb="dataset.frozen")
    assert event.data["content_hash"] == version.content_hash


def test_unchanged_work_is_not_frozen_twice(approved: Approved) -> None:
    first = freeze(approved)
    with pytest.raises(Problem, match=f"{first} already holds") as refused:
        freeze(approved, note="another note")
    assert (refused.value.code, refused.value.fields) == ("nothing_changed", {"version": [first.pk]})
    assert DatasetVersion.objects.count() == 1


def test_other_split_parameters_are_a_change(approved: Approved) -> None:
    first, second = freeze(approved), freeze(approved, split_seed=5)
    assert second.number == 2
    assert first.content_hash != second.content_hash


def test_approving_another_answer_makes_another_version(approved: Approved) -> None:
    first = freeze(approved)
    say_otherwise(approved, 1, crash_description=Said("valued", {"text": "a tram hits a car."}))
    second = freeze(approved)
    assert (second.number, second.content_hash != first.content_hash) == (2, True)
    assert services.verify(first)
    assert services.verify(second)
    content = second.records.get(case=approved.cases[1]).content
    lineage = content["answers"][Kind.CRASH_DESCRIPTION]["lineage"]
    answer = ApprovedAnswer.objects.get(case=approved.cases[1], kind=Kind.CRASH_DESCRIPTION).answer
    assert answer.author is not None
    assert (lineage["author_kind"], lineage["author"]) == ("person", answer.author.username)
    assert (lineage["draft_author_kind"], lineage["draft_author"]) == ("model", "tiny")
    assert lineage["draft_answer_id"] == answer.draft_id


def test_clips_keep_their_split_when_the_corpus_grows(approved: Approved) -> None:
    first = freeze(approved)
    before = dict(first.records.values_list("content__video", "split"))
    same_footage = approved.cases[2].video.recording
    for number in range(8):
        recording = {"recording": same_footage} if number == 0 else {}
        video = make_video(approved.corpus, **recording)
        approved.cases.append(make_case(CaseStatus.APPROVED, video=video, guideline=approved.guideline))
    after = dict(freeze(approved).records.values_list("content__video", "split"))
    assert {name: after[name] for name in before} == before
    assert after[approved.cases[6].video.name] == before[approved.cases[2].video.name]


def test_near_duplicates_never_straddle_splits(approved: Approved) -> None:
    cluster = DuplicateCluster.objects.create()
    alike = [case.video for case in approved.cases[:4]]
    DuplicateMember.objects.bulk_create(DuplicateMember(cluster=cluster, video=video) for video in alike)
    for seed in range(3):
        version = freeze(approved, split_seed=seed, val_share=0.3, test_share=0.3)
        splits = dict(version.records.values_list("content__video", "split"))
        assert len({splits[video.name] for video in alike}) == 1
        assert len(set(splits.values())) > 1


WORDS = "policy 3 (id 12), threshold 0.913, audit slice 0.1"


def by_policy(case: Case) -> None:
    """As `annotations.reviews.by_policy.approve_by_policy` leaves it."""
    ApprovedAnswer.objects.filter(case=case).update(approved_by=None, policy=WORDS)


def test_what_a_policy_approved_goes_to_train_only(approved: Approved) -> None:
    for case in approved.cases[:3]:
        by_policy(case)
    for seed in range(4):
        version = freeze(approved, split_seed=seed, val_share=0.3, test_share=0.3)
        splits = dict(version.records.values_list("case", "split"))
        assert [splits[case.pk] for case in approved.cases[:3]] == ["train"] * 3
        assert set(splits.values()) == {"train", "val", "test"}
        assert (version.record_count, version.unseen_count, version.unseen_left_out) == (6, 3, 0)
    assert AuditEvent.objects.filter(verb="dataset.frozen").last().data["approved_by_policy"] == 3  # type: ignore[union-attr]


def test_what_a_policy_approved_is_left_out_where_its_footage_is_in_the_test_split(
    approved: Approved,
) -> None:
    first = freeze(approved)
    tested = first.records.get(split="test").case
    alike = make_case(
        CaseStatus.APPROVED, video=make_video(approved.corpus, recording=tested.video.recording),
        guideline=approved.guideline,
    )  # fmt: skip
    by_policy(alike)
    with pytest.raises(Problem, match="already holds exactly these answers"):
        freeze(approved)
    make_case(CaseStatus.APPROVED, video=make_video(approved.corpus), guideline=approved.guideline)
    second = freeze(approved)
    assert (second.record_count, second.unseen_count, second.unseen_left_out) == (7, 0, 1)
    assert not second.records.filter(case=alike).exists()
    assert second.records.get(case=tested).split == "test"
    event = AuditEvent.objects.get(verb="dataset.frozen", subject_id=second.pk)
    assert event.data["policy_cases_left_out"] == [alike.pk]
    by_policy(tested)
    third = freeze(approved)
    assert (third.record_count, third.unseen_left_out) == (6, 2)
    assert services.verify(first)  # what was frozen stays as it was
    assert first.records.get(case=tested).split == "test"


def test_a_person_is_no_policy_whatever_their_name(approved: Approved) -> None:
    for pointer in ApprovedAnswer.objects.filter(case=approved.cases[0]).select_related("approved_by"):
        User.objects.filter(pk=pointer.approved_by_id).update(username="Ann Lee")
    by_policy(approved.cases[1])
    version = freeze(approved)
    assert (version.record_count, version.unseen_count) == (6, 1)
    said = {
        case.pk: version.records.get(case=case).content["answers"][Kind.CAUSAL_REASONING]["lineage"]
        for case in approved.cases[:2]
    }
    person, policy = said.values()
    assert (person["approved_by"], "approved_unseen" in person) == ("Ann Lee", False)
    assert (policy["approved_by"], policy["approved_unseen"]) == (WORDS, True)


def test_nothing_is_frozen_where_only_a_policy_looked_at_what_is_tested(approved: Approved) -> None:
    first = freeze(approved)
    for record in first.records.all():
        if record.split == "test":
            by_policy(record.case)
        else:
            ApprovedAnswer.objects.filter(case=record.case).delete()
    with pytest.raises(Problem, match="approved by a policy, and their footage is in val or test"):
        freeze(approved)


def test_a_card_says_what_nobody_looked_at(approved: Approved) -> None:
    by_policy(approved.cases[0])
    version = freeze(approved)
    made = services.export(version=version, export_format="crashchat", by=None)
    with local_path(made.storage_name) as path, ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert "Approved by a policy, no person looked at them: 1 in train, 0 in val, 0 in test." in card


def test_the_same_bytes_never_straddle_splits(approved: Approved) -> None:
    media = make_media()
    for _ in range(4):
        make_case(
            CaseStatus.APPROVED, video=make_video(approved.corpus, media=media), guideline=approved.guideline
        )
    version = freeze(approved)
    splits = set(version.records.filter(content__sha256=media.sha256).values_list("split", flat=True))
    assert len(splits) == 1


def test_nothing_approved_is_a_problem(db: None) -> None:
    with pytest.raises(Problem, match="no approved case") as refused:
        services.freeze(corpus=make_corpus(), guideline=make_guideline(), by=None)
    assert refused.value.code == "nothing_approved"


def test_impossible_shares_are_a_problem(approved: Approved) -> None:
    with pytest.raises(Problem, match="together less than 1") as refused:
        freeze(approved, val_share=0.6, test_share=0.6)
    assert (refused.value.code, refused.value.status) == ("invalid_shares", 400)


def test_an_incomplete_case_is_left_out_and_named(approved: Approved) -> None:
    case = approved.cases[0]
    ApprovedAnswer.objects.filter(case=case, kind=Kind.CAUSAL_REASONING).delete()
    assert freeze(approved).record_count == 5
    assert AuditEvent.objects.get(verb="dataset.frozen").data["incomplete_cases"] == [case.pk]


def test_a_case_that_contradicts_itself_stops_the_freeze(approved: Approved) -> None:
    case, other = approved.cases[0], approved.cases[1]
    wrong = ApprovedAnswer.objects.get(case=other, kind=Kind.CRASH_RECOGNITION).answer
    ApprovedAnswer.objects.filter(case=case, kind=Kind.CRASH_RECOGNITION).update(answer=wrong)
    with pytest.raises(Problem) as refused:
        freeze(approved)
    assert refused.value.code == "broken_rules"
    assert list(refused.value.fields) == [case.video.name]
    assert not DatasetVersion.objects.exists()


def test_a_guideline_must_ask_all_six_questions(approved: Approved) -> None:
    approved.guideline.prompts.filter(kind=Kind.CAUSAL_REASONING).delete()
    with pytest.raises(Problem, match="no question for causal_reasoning"):
        freeze(approved)


def test_versions_and_records_cannot_be_changed(approved: Approved) -> None:
    version = freeze(approved)
    record = version.records.first()
    assert record is not None
    for row in (version, record):
        with pytest.raises(TypeError, match="immutable"):
            row.save()
        with pytest.raises(TypeError, match="immutable"):
            row.delete()


def tamper(version: DatasetVersion) -> None:
    record = version.records.first()
    assert record is not None
    record.content["answers"][Kind.CAUSAL_REASONING]["lineage"]["approved_by"] = "somebody else"
    DatasetRecord.objects.filter(pk=record.pk).update(content=record.content)


def test_verify_notices_a_changed_record(approved: Approved) -> None:
    version = freeze(approved)
    assert services.verify(version)
    tamper(version)
    assert not services.verify(version)


@pytest.mark.parametrize("export_format", ["crashchat", "parquet"])
def test_an_export_made_again_has_the_same_bytes(approved: Approved, export_format: str) -> None:
    version = freeze(approved)
    first = services.export(version=version, export_format=export_format, by=None)
    assert services.export(version=version, export_format=export_format, by=None) == first
    default_storage.delete(first.storage_name)
    approved.corpus.licence = "changed since"
    approved.corpus.save()
    again = services.export(version=version, export_format=export_format, by=None)
    assert (again.pk, again.sha256, again.storage_name) == (first.pk, first.sha256, first.storage_name)
    assert default_storage.exists(again.storage_name)
    assert default_storage.size(again.storage_name) == again.size


def test_an_export_of_a_changed_version_is_refused(approved: Approved) -> None:
    version = freeze(approved)
    tamper(version)
    with pytest.raises(Problem, match="is not what was frozen"):
        services.export(version=version, export_format="crashchat", by=None)
    assert not Export.objects.exists()


def test_changed_questions_are_refused(approved: Approved) -> None:
    version = freeze(approved)
    approved.guideline.prompts.filter(kind=Kind.CAUSAL_REASONING).update(text="Why?")
    with pytest.raises(Problem, match="causal_reasoning"):
        services.prompts_of(version)


def test_the_export_job_writes_a_file_and_names_it(approved: Approved, lead: User) -> None:
    version = freeze(approved)
    job = services.request_export(version=version, export_format="crashchat", by=lead)
    assert services.request_export(version=version, export_format="crashchat", by=lead) == job
    claimed = claim_next("data")
    assert claimed is not None
    perform(claimed)
    done = Job.objects.get(pk=job.pk)
    assert (done.state, done.error) == (JobState.DONE, "")
    made = Export.objects.get()
    assert done.result == {"export": made.pk, "sha256": made.sha256, "size": made.size}
    assert (done.progress_done, done.progress_total) == (6, 6)
    assert made.created_by == lead
    with local_path(made.storage_name) as path, ZipFile(path) as archive:
        rows = json.loads(archive.read("crashdesk_crash_recognition_train.json"))
    assert rows[0]["source"] == "made up"
    again = services.request_export(version=version, export_format="crashchat", by=lead)
    assert again != job
