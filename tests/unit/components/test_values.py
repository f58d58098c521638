from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.charts import Chart
from pavedpath.helm import (
    ValuesFiles,
    ValuesFilesError,
    check_values_directory,
    image_problems,
    merge,
    schema_problems,
)

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "0" * 64

values = st.dictionaries(
    st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3)
)


@given(values, values)
def test_the_upper_tree_wins_and_nothing_is_lost(base: dict[str, object], over: dict[str, object]) -> None:
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        below = base.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        assert merged[key] == ({**below, **value} if both else value)  # pyright: ignore[reportGeneralTypeIssues, reportUnknownArgumentType]  # both are mappings here


def test_every_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("- a\n- list\n")
    with pytest.raises(ValuesFilesError) as caught:
        ValuesFiles.read(tmp_path, "dev", with_secrets=True)
    assert len(caught.value.problems) == 2
    assert "it holds list" in caught.value.problems[0]
    assert "dev.secrets.yaml: cannot be read" in caught.value.problems[1]


@given(st.binary(max_size=50))
def test_rubbish_never_reaches_the_user_as_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    directory = tmp_path_factory.mktemp("values")
    (directory / "dev.yaml").write_bytes(rubbish)
    try:
        files = ValuesFiles.read(directory, "dev", with_secrets=False)
    except ValuesFilesError:
        return
    assert files.secrets is None


def test_a_values_file_of_no_environment_is_named_with_the_nearest(tmp_path: Path) -> None:
    for name in ("dev.yaml", "dev.secrets.yaml", "prod.yaml"):
        (tmp_path / name).touch()
    check_values_directory(tmp_path, ["dev", "prod"])
    for name in ("staging.yaml", "prd.secrets.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(ValuesFilesError) as caught:
        check_values_directory(tmp_path, ["dev", "prod"])
    assert len(caught.value.problems) == 2
    assert "rename it to prod.secrets.yaml" in caught.value.problems[0]
    assert "staging.yaml: no environment of this name. Fix: remove it" in caught.value.problems[1]
    with pytest.raises(ValuesFilesError, match="cannot be read"):
        check_values_directory(tmp_path / "none", ["dev"])


class TestSchema:
    def problems(self, values: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> dict[str, str]:
        chart = Chart.read(ROOT / "charts/web-service")
        found = schema_problems(chart.values_schema, chart.default_values, values, secrets or {})
        return {problem.argument: str(problem) for problem in found}

    def test_every_wrong_value_is_named_by_its_path(self) -> None:
        values = {"image": {"repository": "a", "digest": "sha256:x"}, "replicas": "two", "replica": 1}
        problems = self.problems(values)
        assert set(problems) == {"values", "values.image.digest", "values.replicas"}
        assert "'replica' was unexpected" in problems["values"]

    def test_the_charts_defaults_count_and_null_takes_one_away(self) -> None:
        assert set(self.problems({})) == {"values.image.repository"}
        assert self.problems({"image": {"repository": "a"}, "replicas": None}) == {}
        assert '"image" is a required property' in self.problems({"image": None})["values"]

    def test_the_files_of_this_project_fit(self) -> None:
        directory = ROOT / "etc/helm_values/storefront"
        for environment in ("dev", "prod"):
            files = ValuesFiles.read(directory, environment, with_secrets=True)
            assert files.secrets
            assert self.problems(files.values, files.secrets.tree) == {}
        check_values_directory(directory, ["dev", "prod"])

    def test_secrets_and_outputs_are_neither_judged_nor_shown(self) -> None:
        values = {"image": {"repository": pulumi.Output.from_input("a")}, "env": pulumi.Output.from_input({})}
        assert list(image_problems({"image": {"name": "a", "digest": pulumi.Output.from_input(DIGEST)}})) == []
        assert self.problems(values, {"port": "hunter2", "secrets": {"A": 1}}) == {}
        problems = self.problems(values, {"sekrets": {"A": "hunter2"}})
        assert "'sekrets' was unexpected" in problems["values"]
        assert "hunter2" not in str(problems)

    @pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
    def test_what_depends_on_a_secret_is_left_to_helm(self, keyword: str) -> None:
        schema = {keyword: [{"properties": {"a": {"type": "integer"}}}]}
        assert list(schema_problems(schema, {}, {}, {"a": 5})) == []
        assert len(list(schema_problems(schema, {}, {"a": "x"}, {}))) == 1

    @pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "https://example.com/schema.json"}])
    def test_a_schema_that_cannot_be_used_is_a_problem_and_asks_no_server(self, schema: Mapping[str, Any]) -> None:
        (problem,) = schema_problems(schema, {}, {}, {})
        assert problem.argument == "values_schema"

    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.dates(),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inside),
        max_leaves=10,
    )

    @given(st.dictionaries(st.text(max_size=4), anything), st.dictionaries(st.text(max_size=4), anything))
    def test_rubbish_is_a_problem_or_none(self, schema: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        list(schema_problems(schema, values, values, {}))
        list(image_problems(values))


class TestImages:
    @pytest.mark.parametrize(
        "values",
        [
            {"image": {"repository": "a", "digest": DIGEST}},
            {"image": f"a:v1@{DIGEST}"},
            {"image": {"repository": f"a@{DIGEST}", "tag": ""}},
            {"web": [{"image": {"name": "a", "sha": "0" * 64}}]},
            {"image": "", "repository": "a chart's own word"},
        ],
    )
    def test_with_a_digest_they_pass(self, values: Mapping[str, Any]) -> None:
        assert list(image_problems(values)) == []

    def test_every_one_without_is_named_by_its_path(self) -> None:
        values = {
            "image": {"repository": "a", "tag": "v1"},
            "sidecars": [{"image": "b:v1"}, {"image": f"b@{DIGEST}"}],
            "initImage": "c:latest",
            "metrics": {"exporter": {"repository": "d", "pullPolicy": "Always"}},
            "proxy": {"image": {"repository": "e", "digest": "sha256:short"}},
        }
        assert {problem.argument for problem in image_problems(values)} == {
            *("values.image.digest", "values.sidecars[0].image", "values.initImage"),
            *("values.metrics.exporter.digest", "values.proxy.image.digest"),
        }
