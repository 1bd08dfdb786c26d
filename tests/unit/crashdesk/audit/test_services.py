"""The audit log is append-only and belongs to the transaction of the change."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.models import Review
from crashdesk.accounts.models import User
from crashdesk.audit.corpora import corpus_path
from crashdesk.audit.models import AuditEvent
from crashdesk.audit.services import history, record, record_ids
from tests.factories import make_case


@pytest.mark.django_db
def test_rows_cannot_be_changed_or_removed(lead: User) -> None:
    record(actor=lead, verb="tested", subject=lead, data={"why": "to see"})
    event = history(lead).get()
    assert (event.actor, event.verb, event.data) == ("the-lead", "tested", {"why": "to see"})
    event.verb = "rewritten"
    with pytest.raises(TypeError, match="append-only"):
        event.save()
    with pytest.raises(TypeError, match="append-only"):
        event.delete()


@pytest.mark.django_db(transaction=True)
def test_a_row_outside_a_transaction_is_refused(lead: User) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        record(actor=lead, verb="tested", subject=lead)
    with transaction.atomic():
        record(actor=None, verb="tested", subject=lead)
    assert AuditEvent.objects.get().actor == "system"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET actor = 'somebody else'",
        "DELETE FROM audit_auditevent",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove_rows(lead: User, statement: str) -> None:
    record(actor=lead, verb="tested", subject=lead)
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert history(lead).get().actor == "the-lead"


@pytest.mark.django_db
def test_the_database_refuses_to_empty_the_log(lead: User) -> None:
    record(actor=lead, verb="tested", subject=lead)
    with connection.cursor() as cursor:  # only tests disable it: see tests/conftest.py
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER audit_log_stays")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("TRUNCATE audit_auditevent")
    assert history(lead).exists()


@pytest.mark.django_db
def test_a_row_knows_the_corpus_of_what_it_speaks_of(lead: User) -> None:
    case = make_case(CaseStatus.SUBMITTED, reviewer=lead)
    record(actor=lead, verb="tested", subject=Review.objects.get())
    record(actor=lead, verb="tested", subject=case.corpus)
    record_ids(actor=lead, verb="tested", model=Case, ids=[case.pk, 999_999])
    record_ids(actor=lead, verb="tested", model=User, ids=[lead.pk])
    told = AuditEvent.objects.filter(verb="tested").order_by("id").values_list("subject_type", "corpus_id")
    expected = [
        ("review", case.corpus_id),
        ("corpus", case.corpus_id),
        ("case", case.corpus_id),
        ("case", None),
    ]
    assert list(told) == [*expected, ("user", None)]


def test_the_way_to_the_corpus_follows_the_foreign_keys_that_are_never_null() -> None:
    ways = {model._meta.label: corpus_path(model) for model in apps.get_models()}
    expected = {
        "corpora.Corpus": "id", "cases.Case": "corpus_id", "reviews.AnswerChange": "review__case__corpus_id",
        "jobs.Job": "corpus_id", "training.TrainingRun": "dataset_version__corpus_id", "accounts.User": "",
        "corpora.DuplicateVerdict": "", "registry.ModelVersion": "", "corpora.Media": "",
    }  # fmt: skip
    assert {label: ways[label] for label in expected} == expected


@pytest.mark.django_db
def test_rows_of_before_the_column_are_told_their_corpus_by_the_migration(lead: User) -> None:
    case = make_case(CaseStatus.SUBMITTED, reviewer=lead)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_rows_stay")
        cursor.execute("UPDATE audit_auditevent SET corpus_id = NULL")
    migration = import_module("crashdesk.audit.migrations.0003_append_only")
    migration.find_corpora(apps, None)
    told = set(
        AuditEvent.objects.filter(subject_type__in=["case", "review"]).values_list("corpus_id", flat=True)
    )
    assert told == {case.corpus_id}
    assert set(AuditEvent.objects.filter(subject_type="guideline").values_list("corpus_id", flat=True)) == {
        None
    }
