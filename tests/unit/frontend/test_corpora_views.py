"""The pages of corpora and videos: who sees them, what empty ones say, that each number leads to the rows it counts."""

import html
import re

import pytest
from django.test import Client

from annotations.cases.models import CaseStatus
from annotations.corpora.models import (
    Corpus,
    DuplicateCluster,
    DuplicateMember,
    ImportFormat,
    ImportRun,
    MediaState,
    SourceRecord,
    Video,
    VideoFinding,
)
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.services import acknowledge
from crashdesk.accounts.models import User
from tests import factories

pytestmark = pytest.mark.django_db
EVIL = "<script>alert('crash')</script>.mp4"


def page(client: Client, user: User, address: str, status: int = 200) -> str:
    client.force_login(user)
    response = client.get(address)
    assert response.status_code == status, address
    return response.content.decode()


def found(video: Video, code: str, severity: str = "warning") -> VideoFinding:
    return VideoFinding.objects.create(video=video, code=code, severity=severity, message=f"{code} it is")


@pytest.fixture
def corpus() -> Corpus:
    """Four videos in every state of media, two sources, one shared recording, two findings."""
    corpus = Corpus.objects.create(name="spring", licence="CC-BY-4.0", terms="research only")
    ready = factories.make_video(corpus, name="one.mp4", source="A", split="train", recording="drive 7")
    factories.make_case(CaseStatus.PREDICTED, video=ready)
    unusable = factories.make_media(state=MediaState.UNUSABLE, proxy_name="", time_map=None)
    broken = factories.make_video(corpus, name="two.mp4", source="A", media=unusable, recording="drive 7")
    pending = factories.make_media(state=MediaState.PENDING, proxy_name="", time_map=None)
    factories.make_video(corpus, name="three.mp4", source="B", media=pending)
    factories.make_video(corpus, name="four.mp4", source="", media=None)
    found(ready, "variable_frame_rate", "info")
    found(broken, "corrupt", "error")
    return corpus


def names(text: str) -> set[str]:
    return set(re.findall(r'case-card__name">([^<]+)<', text))


@pytest.mark.parametrize(
    "address", ["/corpora", "/corpora/1", "/corpora/1/videos", "/corpora/1/imports", "/videos/1"]
)
def test_pages_need_a_sign_in(client: Client, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 302
    assert response["location"].startswith("/login?next=")


@pytest.mark.parametrize(
    "address", ["/corpora/4711", "/corpora/4711/videos", "/videos/4711", "/videos/1/records/2"]
)
def test_what_is_not_there_is_not_found(client: Client, lead: User, address: str) -> None:
    page(client, lead, address, status=404)


def test_empty_pages_say_what_to_do_next(client: Client, lead: User, annotator: User) -> None:
    assert "There is no corpus yet." in page(client, lead, "/corpora")
    assert "Ask a lead" in page(client, annotator, "/corpora")
    corpus = factories.make_corpus()
    text = page(client, lead, f"/corpora/{corpus.pk}")
    assert "No video yet." in text
    assert "Nothing has been imported yet." in text
    assert "holds no video yet" in page(client, lead, f"/corpora/{corpus.pk}/videos")
    assert "Nothing has been imported" in page(client, lead, f"/corpora/{corpus.pk}/imports")
    assert "No video matches." in page(client, lead, f"/corpora/{corpus.pk}/videos?q=nowhere")


def test_making_and_importing_show_to_those_who_may(
    client: Client, lead: User, engineer: User, annotator: User, reviewer: User, corpus: Corpus
) -> None:
    for user, may in ((lead, True), (engineer, True), (annotator, False), (reviewer, False)):
        assert ('data-post="/api/corpora"' in page(client, user, "/corpora")) == may
        for address in (f"/corpora/{corpus.pk}", f"/corpora/{corpus.pk}/imports"):
            assert (f'href="/corpora/{corpus.pk}/import"' in page(client, user, address)) == may


def test_every_number_leads_to_as_many_rows(client: Client, lead: User, corpus: Corpus) -> None:
    text = page(client, lead, f"/corpora/{corpus.pk}")
    numbered = re.findall(rf'href="(/corpora/{corpus.pk}/videos\?[^"]+)"[^>]*>(?:<strong>)?(\d+)<', text)
    numbered += [
        (address, count)
        for address, count in re.findall(
            rf'<li><a href="(/corpora/{corpus.pk}/videos\?[^"]+)">[^<]*</a>.*?bars__count">(\d+)<', text
        )
    ]
    assert len(numbered) >= 4 + 2 + 2 + 3 + 1  # states, splits, findings, sources, a shared recording
    for address, count in numbered:
        listed = names(page(client, lead, html.unescape(address)))
        assert len(listed) == int(count), address


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("state=ready", {"one.mp4"}),
        ("state=unusable", {"two.mp4"}),
        ("state=pending", {"three.mp4"}),
        ("state=absent", {"four.mp4"}),
        ("source=A", {"one.mp4", "two.mp4"}),
        ("split=train", {"one.mp4"}),
        ("without=source", {"four.mp4"}),
        ("without=split&source=A", {"two.mp4"}),
        ("recording=drive+7", {"one.mp4", "two.mp4"}),
        ("finding=corrupt", {"two.mp4"}),
        ("finding=any", {"one.mp4", "two.mp4"}),
        ("finding=any&severity=info", {"one.mp4"}),
        ("finding=corrupt&severity=info", set()),
        ("q=thr", {"three.mp4"}),
        ("q=DRIVE", {"one.mp4", "two.mp4"}),
    ],
)
def test_filters_narrow_the_list(
    client: Client, lead: User, corpus: Corpus, query: str, left: set[str]
) -> None:
    text = page(client, lead, f"/corpora/{corpus.pk}/videos?{query}")
    assert names(text) == left
    assert ("No video matches." in text) == (not left)


@pytest.mark.parametrize(
    "query", ["state=nonsense", "severity=x", "without=name", "source=%00", "q=%00", "q=%2A", "finding=%00"]
)
def test_nonsense_in_the_address_is_ignored_or_finds_nothing(
    client: Client, lead: User, corpus: Corpus, query: str
) -> None:
    page(client, lead, f"/corpora/{corpus.pk}/videos?{query}")


def test_a_cursor_of_another_list_is_not_found(client: Client, lead: User, corpus: Corpus) -> None:
    page(client, lead, f"/corpora/{corpus.pk}/videos?cursor=nonsense", status=404)


def test_the_list_goes_on_by_keyset_and_back(client: Client, lead: User) -> None:
    corpus = factories.make_corpus()
    for number in range(30):
        factories.make_video(corpus, name=f"{number:02}.mp4", media=None)
    address = f"/corpora/{corpus.pk}/videos"
    first = page(client, lead, f"{address}?state=absent")
    assert "30 match" in first
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = page(client, lead, address + html.unescape(following[1]))
    assert names(second) == {f"{number:02}.mp4" for number in range(24, 30)}
    assert names(first) | names(second) == {f"{number:02}.mp4" for number in range(30)}
    back = re.search(r'rel="prev" href="([^"]+)"', second)
    assert back
    assert names(page(client, lead, address + html.unescape(back[1]))) == names(first)
    assert 'rel="next"' not in second


@pytest.mark.parametrize(
    ("address", "most"), [("/corpora", 12), ("/corpora/{pk}", 24), ("/corpora/{pk}/videos", 14)]
)
def test_pages_cost_a_fixed_number_of_queries(
    client: Client, lead: User, corpus: Corpus, django_assert_max_num_queries: object, address: str, most: int
) -> None:
    for number in range(8):
        video = factories.make_video(corpus, source=f"source {number}", split=f"split {number}")
        factories.make_case(CaseStatus.APPROVED, video=video)
        found(video, f"code_{number}")
        ImportRun.objects.create(corpus=corpus, format=ImportFormat.FOLDER, path="/srv")
        factories.make_video(factories.make_corpus())
    client.force_login(lead)
    with django_assert_max_num_queries(most):  # type: ignore[operator]
        assert client.get(address.format(pk=corpus.pk)).status_code == 200


def test_names_never_become_markup(client: Client, lead: User) -> None:
    corpus = Corpus.objects.create(name=EVIL, licence=EVIL, terms=EVIL)
    video = factories.make_video(
        corpus, name=EVIL, source=EVIL[:100], recording=EVIL, split="<b>", url="javascript:1"
    )
    other = factories.make_video(corpus, name=EVIL + "2", media=video.media)
    found(video, "odd", "error")
    VideoFinding.objects.update(message=EVIL)
    SourceRecord.objects.create(video=video, format=ImportFormat.TABLE, file=EVIL, row=3, record={EVIL: EVIL})
    ImportRun.objects.create(corpus=corpus, format=ImportFormat.FOLDER, path=EVIL)
    for address in (
        "/corpora", f"/corpora/{corpus.pk}", f"/corpora/{corpus.pk}/videos?q={EVIL}&source={EVIL}",
        f"/videos/{video.pk}", f"/videos/{other.pk}", f"/corpora/{corpus.pk}/imports",
    ):  # fmt: skip
        text = page(client, lead, address)
        assert "<script>alert" not in text, address
        assert 'href="javascript' not in text, address


def test_a_video_shows_its_measures_origin_and_records(client: Client, lead: User, corpus: Corpus) -> None:
    video = corpus.videos.get(name="one.mp4")
    SourceRecord.objects.create(
        video=video, format=ImportFormat.CCD, file="Crash-1500.txt", row=17, record={"weather": "Snowy"}
    )
    text = page(client, lead, f"/videos/{video.pk}")
    for words in ("320 × 180 pixels", "h264", "5.000 s", "drive 7", "an id of the imported format", "train",  # noqa: RUF001
                  "Crash-1500.txt", "row 17", "&quot;weather&quot;: &quot;Snowy&quot;", "variable_frame_rate it is",
                  "Every frame stays equally long."):  # fmt: skip
        assert words in text, words
    case = video.cases.get()
    assert f'href="/cases/{case.pk}"' in text
    assert "data-video" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("two.mp4", "The clip cannot be used"), ("three.mp4", "being probed"), ("four.mp4", "Nothing to watch")],
)
def test_a_video_that_cannot_be_played_says_why(
    client: Client, lead: User, corpus: Corpus, name: str, words: str
) -> None:
    text = page(client, lead, f"/videos/{corpus.videos.get(name=name).pk}")
    assert words in text
    assert "<video" not in text


def test_a_long_record_is_cut_and_served_whole(client: Client, lead: User, corpus: Corpus) -> None:
    video = corpus.videos.get(name="one.mp4")
    labels = list(range(20_000))
    record = SourceRecord.objects.create(
        video=video, format=ImportFormat.DOTA, file="m.json", record={"labels": labels}
    )
    text = page(client, lead, f"/videos/{video.pk}")
    assert "The whole record" in text
    assert len(text) < 60_000
    client.force_login(lead)
    assert client.get(f"/videos/{video.pk}/records/{record.pk}").json()["record"] == {"labels": labels}


def test_the_same_footage_elsewhere_is_named(client: Client, lead: User, corpus: Corpus) -> None:
    video = corpus.videos.get(name="one.mp4")
    copy = factories.make_video(name="copy.mp4", media=video.media)
    near = factories.make_video(name="smaller.mp4")
    cluster = DuplicateCluster.objects.create()
    for member, evidence in ((video, {}), (near, {"similarity": 0.93})):
        DuplicateMember.objects.create(cluster=cluster, video=member, evidence=evidence)
    text = page(client, lead, f"/videos/{video.pk}")
    assert f'href="/videos/{copy.pk}"' in text
    assert "the same bytes" in text
    assert f'href="/videos/{near.pk}"' in text
    assert "93 % alike" in text
    assert "Has near duplicates" in page(client, lead, f"/corpora/{corpus.pk}/videos")


def audited(corpus: Corpus, findings: list[dict[str, object]]) -> CorpusAudit:
    return CorpusAudit.objects.create(
        corpus=corpus, inputs_hash=str(len(findings)), code_version="1", report={"findings": findings}
    )


def finding(code: str, severity: str, count: int = 3) -> dict[str, object]:
    return {
        "code": code,
        "subject": "",
        "severity": severity,
        "count": count,
        "sentence": f"{code}: look at it.",
    }


def test_the_newest_audit_tells_its_worst_open_finding(client: Client, lead: User, corpus: Corpus) -> None:
    assert "not audited yet" in page(client, lead, "/corpora")
    audited(corpus, [])
    assert "nothing open" in page(client, lead, "/corpora")
    audit = audited(corpus, [finding("leak", "error"), finding("gap", "warning")])
    for address in ("/corpora", f"/corpora/{corpus.pk}"):
        text = page(client, lead, address)
        assert "leak: look at it." in text
        assert "2 open" in text
    acknowledge(audit=audit, code="leak", subject="", reason="known", by=lead)
    text = page(client, lead, "/corpora")
    assert "gap: look at it." in text
    assert "1 open" in text
