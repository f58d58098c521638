"""The page: every value escaped, nothing fetched, nothing unread shown as nothing."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.drift.hub import Unread as Refused
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.report.page import Attempt, Part, Release, Unread, current, joined, rank
from pavedpath_delivery.report.render import render
from pavedpath_delivery.report.run import Page, PageReport, write
from pavedpath_delivery.report.sources import App, environments, parse_app
from typer.testing import CliRunner

from tests.unit.delivery.report.pages import HOSTILE, NOW, page

VOID = {"meta", "img", "link", "br", "input"}
SECTIONS = {"running", "environments", "history", "dora", "drift", "evidence"}


class Outline(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]


def test_the_page_is_whole_and_needs_nothing() -> None:
    outline = Outline(render(page()))
    assert outline.open == []
    assert set(outline.ids()) >= SECTIONS
    assert len(outline.ids()) == len(set(outline.ids()))
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not any("src" in attributes or "srcset" in attributes for _, attributes in outline.tags)
    assert "url(" not in render(page())
    assert "@import" not in render(page())


def test_tables_have_captions_and_heads_and_plots_say_what_they_show() -> None:
    outline = Outline(render(page()))
    count = [tag for tag, _ in outline.tags].count
    assert count("table") == count("caption") == count("thead") == 4
    assert count("svg") == count("desc") == 4
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")
    assert [tag for tag, _ in outline.tags if tag in ("h1", "h2")].count("h1") == 1


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1) | st.just(HOSTILE))
def test_no_name_becomes_markup(name: str) -> None:
    plain, hostile = Outline(render(page())), Outline(render(page(name)))
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in hostile.tags]
    assert [set(attributes) for _, attributes in plain.tags] == [set(attributes) for _, attributes in hostile.tags]
    assert hostile.open == []


def test_a_hostile_name_is_shown_as_it_is() -> None:
    outline = Outline(render(page(HOSTILE)))
    assert f"acme/{HOSTILE}" in outline.text
    assert "49" not in re.findall(r"onerror=alert\(1\)>(\d+)", outline.text)


def empty() -> Page:
    nothing = page()
    return replace(
        nothing, environments=Part(), running=Part(), history=Part(), evidence=Part(), measured=None, measured_unread=()
    )


def test_what_was_not_read_never_looks_like_nothing() -> None:
    nothing = "Nothing is deployed.|There are no environments.|Nothing was deployed yet.|No images are deployed."
    assert len(re.findall(nothing, render(empty()))) == 4
    refused = Part[object](unread=(Unread("acme/shop", "403: Forbidden"),))
    unread = replace(
        empty(),
        environments=refused,  # pyright: ignore[reportArgumentType]  without rows it is a part of anything
        running=refused,  # pyright: ignore[reportArgumentType]  the same
        history=refused,  # pyright: ignore[reportArgumentType]  the same
        evidence=refused,  # pyright: ignore[reportArgumentType]  the same
        measured_unread=refused.unread,
    )
    text = Outline(render(unread)).text
    assert not re.search(nothing, text)
    assert text.count("Not read: acme/shop: 403: Forbidden") == 5
    assert "Not asked for" not in text
    assert PageReport(unread, Path("x")).unread == ["acme/shop: 403: Forbidden"]


def test_what_was_not_asked_for_says_so() -> None:
    asked = replace(empty(), environments=None, running=None, history=None, evidence=None)
    assert Outline(render(asked)).text.count("Not asked for") == 5


def test_the_twin_is_json_and_says_the_same() -> None:
    document = json.loads(json.dumps(page().document()))
    assert document["generated"] == NOW.isoformat()
    assert document["running"]["rows"][1]["release"]["revision"] == 7
    assert document["running"]["rows"][1]["behind"] == 3
    assert document["running"]["unread"] == [{"source": "release orders/orders", "reason": "403: orders"}]
    assert document["dora"]["deployments"] == 40
    assert [each["rule"] for each in document["drift"]["differences"]] == ["force-push", "webhook-secret"]


def test_the_page_goes_into_a_folder_or_a_file(tmp_path: Path) -> None:
    assert write(page(), tmp_path / "site") == tmp_path / "site/index.html"
    assert write(page(), tmp_path / "x/report.html") == tmp_path / "x/report.html"
    assert [each.name for each in (tmp_path / "x").iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError, match="cannot be written") as error:
        write(page(), tmp_path / "file/site")
    assert error.value.code is Exit.USAGE


def attempt(number: int, environment: str, outcome: str = "success") -> Attempt:
    return Attempt(str(number), "acme/shop", environment, NOW + timedelta(hours=number), "a" * 40, "main", "x", outcome)


@given(st.permutations([attempt(1, "prod"), attempt(2, "prod"), attempt(3, "prod", "failure"), attempt(0, "dev")]))
def test_the_last_success_is_what_runs(attempts: list[Attempt]) -> None:
    assert {name: each.id for name, each in current(attempts).items()} == {"prod": "2", "dev": "0"}


def test_a_release_and_a_repository_of_one_name_are_one_application() -> None:
    release = Release("prod", "shop", "shop", "shop-1", "1", 3, "deployed", NOW, ())
    other = replace(release, name="cron", environment="dev")
    rows = joined([attempt(1, "prod"), attempt(0, "dev")], [release, other], ())
    assert [(each.application, each.environment) for each in rows] == [
        ("cron", "dev"),
        ("shop", "dev"),
        ("shop", "prod"),
    ]
    assert rows[2].release is release
    assert rows[2].deployment
    assert rows[0].deployment is None
    assert rows[0].since == NOW


def test_environments_come_in_the_order_of_a_delivery() -> None:
    names = ["production", "canary", "staging", "dev", "qa"]
    assert sorted(names, key=rank) == ["dev", "qa", "staging", "canary", "production"]
    assert sorted(names, key=lambda name: rank(name, ["canary", "qa"]))[:2] == ["canary", "qa"]


def test_protection_is_told_or_told_as_unread() -> None:
    custom = {"protected_branches": False, "custom_branch_policies": True}
    rules = [{"type": "required_reviewers", "reviewers": [{"reviewer": {"login": "ann"}}]}]
    listed = [
        {"name": "prod", "deployment_branch_policy": custom, "protection_rules": rules},
        {"name": "dev", "deployment_branch_policy": None},
        {"name": "qa", "deployment_branch_policy": custom},
    ]
    documents: dict[str, Any] = {
        "repository": {},
        "environments": listed,
        "policies/prod": [{"name": "main"}],
        "policies/qa": Refused("403"),
    }
    found = {each.name: each.protection for each in environments("acme/shop", documents, ()).rows}
    assert found == {
        "dev": ("open to all branches",),
        "qa": ("branches not read: 403",),
        "prod": ("branches main", "approval by ann"),
    }


def test_applications_are_named_with_their_environment() -> None:
    assert parse_app("prod=shop/api") == App("prod", "shop", "api")
    assert parse_app("shop/api") == App("", "shop", "api")
    assert parse_app("shop") is None
    assert parse_app("a/b/c") is None


def test_wrong_options_are_named_at_once(tmp_path: Path) -> None:
    options = ["--repository", "shop", "--app", "shop", "--kubeconfig", "prod"]
    done = CliRunner().invoke(app, ["report", "--out", str(tmp_path), *options])
    assert done.exit_code == Exit.USAGE
    for each in ("shop is not OWNER/REPO", "shop is not [ENVIRONMENT=]NAMESPACE/NAME", "prod is not ENVIRONMENT=FILE"):
        assert each in done.stderr
    nothing = CliRunner().invoke(app, ["report", "--out", str(tmp_path)])
    assert (nothing.exit_code, "nothing to report" in nothing.stderr) == (Exit.USAGE, True)
    assert list(tmp_path.iterdir()) == []
