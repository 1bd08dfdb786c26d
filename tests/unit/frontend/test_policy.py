from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from crashdesk.accounts.models import User
from frontend.policy import saved_hours
from frontend.policy_plots import HEIGHT, LEFT, over_time
from frontend.templatetags.policy_pages import rate, small
from model_assist.auto_approval import services
from model_assist.auto_approval.models import Policy
from model_assist.auto_approval.tasks import look
from tests.effort_made import NOON, drawn_case, moments, submit
from tests.factories import make_corpus
from tests.policy_made import World, calibrate, work

pytestmark = pytest.mark.django_db


def shown(client: Client, user: User, corpus: int, query: str = "") -> str:
    client.force_login(user)
    answer = client.get(reverse("corpus-policy", args=[corpus]) + query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_off_by_default_and_only_a_lead_may_set_one(client: Client, lead: User, annotator: User) -> None:
    world = World.made()
    world.add(3)
    page = shown(client, lead, world.corpus.pk)
    assert "Off. Every case of this corpus is seen by a person." in page
    assert "data-policy" in page
    assert "Learn then Test" in page
    assert "data-policy" not in shown(client, annotator, world.corpus.pk)
    empty = shown(client, lead, make_corpus().pk)
    assert "This corpus has no cases yet." in empty
    client.logout()
    assert client.get(reverse("corpus-policy", args=[world.corpus.pk])).status_code == 302


def test_a_policy_is_shown_through_its_life(client: Client, lead: User, annotator: User) -> None:
    world = World.made()
    world.add(160, confidence=0.95)
    policy = world.policy(lead, certify_at=1.0, sample_size=160, audit_share=0.5)
    page = shown(client, lead, world.corpus.pk)
    assert "people review its sample" in page
    assert "0 of 160" in page
    assert f'data-post="/api/auto-approval-policies/{policy.pk}/certify"' in page
    assert "crash recognition differs" in page
    assert "Not judged, nothing is promised of" in page
    assert f"(seed {policy.sample_seed})" in page
    assert f"(seed {policy.audit_seed})" in page
    assert "seed" not in shown(client, annotator, world.corpus.pk)
    world.review(policy.sample.values_list("case", flat=True), lead)
    services.request_certification(policy=policy, by=lead)
    assert "A job of this policy waits for a worker" in shown(client, lead, world.corpus.pk)
    work("data")
    page = shown(client, lead, world.corpus.pk)
    assert "Threshold <strong>0.9500</strong>" in page
    assert "0 of 160" in page
    assert "With the model&#x27;s draft in view, people found 0 of 160 wrong" in page
    assert f"/{policy.pk}/start" in page
    policy.refresh_from_db()
    services.start(policy=policy, by=lead)
    cases = world.add(24, confidence=0.97, error=1.0)  # too few to be warned of evidence that does not grow
    work("data")
    page = shown(client, lead, world.corpus.pk)
    approved = policy.decisions.filter(outcome="approved").count()
    assert f"<strong>{approved}</strong> approved unseen" in page
    assert f"/{policy.pk}/stop" in page
    assert "plot--policy" in page
    assert "The evidence does not grow" not in page
    Policy.objects.filter(pk=policy.pk).update(evidence="blind")
    assert "The evidence does not grow" in shown(client, lead, world.corpus.pk)
    Policy.objects.filter(pk=policy.pk).update(evidence="any")
    for act in ("start", "stop", "undo", "certify", "decisions"):
        assert f"/{policy.pk}/{act}" not in shown(client, annotator, world.corpus.pk)
    audited = policy.decisions.filter(outcome="audit").values_list("case", flat=True)
    assert set(audited) < {case.pk for case in cases}
    world.review(audited, lead)
    look()
    page = shown(client, lead, world.corpus.pk)
    assert "<strong>Stopped</strong>" in page
    assert "by itself: of late more audited cases are wrong than the limit allows." in page
    assert f"Give all {approved} approved cases back to people" in page
    policy.refresh_from_db()
    services.request_undo(policy=policy, reason="wrong", by=lead)
    work("data")
    assert f"{approved} given back to people, 0 left alone" in shown(client, lead, world.corpus.pk)


def test_a_refusal_a_stale_certificate_and_earlier_policies_are_told(client: Client, lead: User) -> None:
    world = World.made()
    world.add(200, error=0.5)
    first = world.certified(lead, certify_at=1.0, sample_size=160)
    page = shown(client, lead, world.corpus.pk)
    assert "<strong>Not certified.</strong> Too many were wrong" in page
    calibrate(world.model)
    world.add(160, confidence=0.95, seed=1)
    second = world.policy(lead, certify_at=1.0, sample_size=150)
    assert "All policies" in shown(client, lead, world.corpus.pk)
    calibrate(world.model)
    assert "must be certified again as a new policy" in shown(client, lead, world.corpus.pk)
    assert "Policy 1 " in shown(client, lead, world.corpus.pk, f"?policy={first.pk}")
    assert (first.version, second.version, Policy.objects.count()) == (1, 2, 2)
    assert client.get(reverse("corpus-policy", args=[world.corpus.pk]) + "?policy=999999").status_code == 404


def test_a_preview_is_shown_once_it_is_done(client: Client, lead: User) -> None:
    world = World.made()
    world.add(30, confidence=0.95)
    services.request_preview(
        corpus=world.corpus, guideline=world.guideline, max_error=0.05, by=lead,
        error_rules={"crash_recognition": {"rule": "differs"}},
    )  # fmt: skip
    assert "The preview waits for a worker" in shown(client, lead, world.corpus.pk)
    work("data")
    page = shown(client, lead, world.corpus.pk)
    assert "30 of 30 answered cases could be approved" in page
    assert "No hours are told: no review of this corpus has measured activity yet." in page
    assert "Hours saved" not in page
    assert "What other limits would cost" in page


def test_hours_saved_come_from_active_time_and_say_from_how_many_reviews(client: Client, lead: User) -> None:
    world = World.made()
    world.add(30, confidence=0.95)
    for hour in range(2):
        case, at = drawn_case(world.corpus, world.guideline, blind=False), NOON - timedelta(hours=hour)
        moments(lead, case, [900, *range(0, 50, 10)], until=at)
        submit(case, lead, at=at, lead_seconds=900.0)
    job = services.request_preview(
        corpus=world.corpus, guideline=world.guideline, max_error=0.05, by=lead, audit_share=0.1,
        error_rules={"crash_recognition": {"rule": "differs"}},
    )  # fmt: skip
    work("data")
    page = shown(client, lead, world.corpus.pk)
    assert (
        "Hours are estimated from 2 reviews with a draft in view and measured activity here: 40 s each"
        in page
    )
    job.refresh_from_db()
    rows = saved_hours(job)
    assert rows[-1]["would_approve"] == 27
    assert rows[-1]["hours"] == pytest.approx(27 * 40 / 3600)
    assert '<th scope="col" class="number">Hours saved</th>' in page
    job.result = {"shares": rows, "median_seconds": 900.0}  # of before: idle time included
    assert {row["hours"] for row in saved_hours(job)} == {None}


def test_the_plot_shows_the_limit_and_all_three_lines_and_tells_them_in_words() -> None:
    series = [
        {"cases": 0, "rate": 0.01, "upper": 0.09, "upper_fixed": 0.05},
        {"cases": 40, "rate": 0.02, "upper": 0.06, "upper_fixed": 0.04},
    ]
    drawn = over_time(series, limit=0.1, words='a "<b>" & c')
    tree = ElementTree.fromstring(str(drawn))
    assert tree.attrib["aria-label"] == 'a "<b>" & c'
    assert len(tree.findall("polyline")) == 3
    limit = next(one for one in tree.findall("line") if one.attrib["class"] == "plot__limit")
    assert 0 < float(limit.attrib["y1"]) < HEIGHT
    upper = next(one for one in tree.findall("polyline") if one.attrib["class"] == "plot__upper")
    places = [tuple(map(float, pair.split(","))) for pair in upper.attrib["points"].split()]
    assert places[0][0] == LEFT
    assert places[0][1] < places[1][1]  # the bound falls
    assert all(y > float(limit.attrib["y1"]) for _, y in places)
    assert over_time([], limit=0.1, words="") == ""


def test_numbers_are_told_with_the_decimals_they_need() -> None:
    assert [rate(value) for value in (0.05, 0.0123, 1.0, None)] == ["5 %", "1.23 %", "100 %", "—"]
    assert [small(value) for value in (0.034, 0.00001)] == ["0.034", "< 0.0001"]
