import random
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotations.cases.models import Answer
from annotations.corpora.models import Corpus
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.services import acknowledge, enqueue_audit
from crashdesk.accounts.models import User
from tests.factories import make_case, make_corpus, make_guideline, make_media, make_video

pytestmark = pytest.mark.django_db
LEAK = {"code": "recording_straddles_splits", "subject": "published: val and train"}


@pytest.fixture
def leaky() -> Corpus:
    corpus = make_corpus("Leaky <corpus>")
    for split in ("train", "val"):
        make_video(corpus, name=f"{split}.mp4", recording="r1", split=split)
    return corpus


def get(client: Client, user: User, corpus: Corpus, name: str = "corpus-audit", **query: Any) -> Any:
    client.force_login(user)
    return client.get(reverse(name, args=[corpus.pk]), query)


def test_a_corpus_without_an_audit_says_how_it_gets_one(client: Client, leaky: Corpus, lead: User) -> None:
    shown = get(client, lead, leaky).content.decode()
    assert "has not been audited yet" in shown
    assert 'data-post="/api/audits"' in shown
    enqueue_audit(leaky.pk, by=lead)
    assert "waits for a worker" in get(client, lead, leaky).content.decode()


def test_findings_with_examples_links_and_forms(
    client: Client, leaky: Corpus, lead: User, annotator: User
) -> None:
    audit, _ = audit_corpus(leaky, by=None)
    shown = get(client, lead, leaky).content.decode()
    assert "Leaky &lt;corpus&gt;" in shown
    assert audit.report["findings"][0]["sentence"] in shown
    video = leaky.videos.get(split="val")
    assert f'<a href="/videos/{video.pk}">val.mp4</a>' in shown
    assert f'data-post="/api/audits/{audit.pk}/acknowledge"' in shown
    assert 'aria-label="r1: 1 in val, 1 in train"' in shown
    plain = get(client, annotator, leaky).content.decode()
    assert "data-post" not in plain
    assert audit.report["findings"][0]["sentence"] in plain


def test_acknowledged_findings_and_what_has_changed(client: Client, leaky: Corpus, lead: User) -> None:
    first, _ = audit_corpus(leaky, by=None)
    acknowledge(audit=first, **LEAK, reason="Published like this.", by=lead)
    shown = get(client, lead, leaky).content.decode()
    assert "Acknowledged by the-lead" in shown
    assert "Published like this." in shown
    assert "<strong>0</strong> open errors" in shown
    make_video(leaky, name="val2.mp4", recording="r1", split="val")
    audit_corpus(leaky, by=None)
    grown = get(client, lead, leaky).content.decode()
    assert "It has grown since the-lead acknowledged it at 1" in grown
    assert "<strong>1</strong> open error" in grown
    assert "1 of 1 → 2 of 2" in grown
    assert "It has grown" not in get(client, lead, leaky, audit=first.pk).content.decode()


def test_plots_of_labels_defaults_words_and_measures(client: Client, lead: User) -> None:
    corpus, guideline, draw = make_corpus(), make_guideline(), random.Random(1)
    for number in range(80):
        video = make_video(corpus, source="AB"[number % 2], media=make_media(seconds=4 + number % 7))
        case = make_case(video=video, guideline=guideline)
        start = draw.randint(20, 40) * 100_000
        gap = 1_500_000 if number % 3 else draw.randint(1, 19) * 100_000
        said: dict[str, dict[str, Any]] = {"crash_recognition": {"label": "no"}}
        if number % 2:
            said = {
                "crash_recognition": {"label": "yes"},
                "causal_reasoning": {"text": f"Cause {number % 5}."},
                "crash_localization": {"start_us": start, "end_us": start + draw.randint(3, 12) * 100_000},
                "pre_crash_localization": {"at_us": start - gap},
            }
        for kind, value in said.items():
            Answer.objects.create(
                case=case, kind=kind, state="valued", value=value, author_kind="import", origin=f"file {kind}"
            )
    audit_corpus(corpus, by=None)
    shown = get(client, lead, corpus).content.decode()
    assert "Crash recognition can be answered from the source alone" in shown
    for words in (
        'aria-label="A: 0 yes, 40 no; B: 40 yes, 0 no"',
        "1.5 s stands out",
        "Clips covered by the commonest texts: the commonest 1 cover 8",
        'aria-label="clip length: least 4 s',
    ):
        assert words in shown


def test_all_clips_of_a_finding_page_by_page(
    client: Client, leaky: Corpus, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.audit_views.CLIPS_PER_PAGE", 1)
    make_video(leaky, name="val2.mp4", recording="r1", split="val")
    audit, _ = audit_corpus(leaky, by=None)
    first = get(client, annotator, leaky, "corpus-audit-clips", **LEAK)
    shown = first.content.decode()
    assert "val.mp4" in shown
    assert "val2.mp4" not in shown
    (following,) = [part.split('"')[0] for part in shown.split('rel="next" href="')[1:]]
    second = client.get(reverse("corpus-audit-clips", args=[leaky.pk]) + following.replace("&amp;", "&"))
    assert "val2.mp4" in second.content.decode()
    assert get(client, annotator, leaky, "corpus-audit-clips", code="x").status_code == 404
    assert audit == CorpusAudit.objects.get()


@pytest.mark.parametrize("wrong", ["x", "999999", "1" * 30])
def test_an_audit_that_is_not_of_this_corpus_is_not_found(
    client: Client, leaky: Corpus, lead: User, wrong: str
) -> None:
    audit_corpus(leaky, by=None)
    assert get(client, lead, leaky, audit=wrong).status_code == 404
    other, _ = audit_corpus(make_corpus(), by=None)
    assert get(client, lead, leaky, audit=other.pk).status_code == 404


def test_strangers_are_sent_to_the_login(client: Client, leaky: Corpus) -> None:
    assert client.get(reverse("corpus-audit", args=[leaky.pk])).status_code == 302
