import pytest
from pavedpath_delivery.cli import app
from typer.testing import CliRunner

USUAL = {"GITHUB_REPOSITORY": "acme/shop", "GITHUB_SHA": "a" * 40, "GITHUB_TOKEN": "job"}


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["1.2.3"], {}, "a version is vX.Y.Z"),
        (["v1.2.3"], {"GITHUB_REPOSITORY": "shop"}, "OWNER/NAME is wanted"),
        (["v1.2.3", "--image", "a:b", "--image", "A B"], {}, "a name without tag"),
        (
            ["1.2.3", "--triggers-workflows", "--image", "a:b"],
            {"GITHUB_REPOSITORY": "shop"},
            "1.2.3: a version is vX.Y.Z or vX.Y.Z-PRERELEASE, as v1.4.0-rc.1.\n"
            "--repository shop: OWNER/NAME is wanted.\n"
            "--image a:b: a name without tag and digest is wanted\n"
            "--triggers-workflows:",
        ),
        (["v1.2.3", "--triggers-workflows"], {}, "GitHub starts no workflow"),
        (["v1.2.3", "--triggers-workflows"], {"RELEASE_TOKEN": "job"}, "GitHub starts no workflow"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_asked(
    arguments: list[str], environ: dict[str, str], says: str
) -> None:
    done = CliRunner().invoke(app, ["release", *arguments], env={**USUAL, "RELEASE_TOKEN": "", **environ})
    assert done.exit_code == 2
    assert says in done.stderr
