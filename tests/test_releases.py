"""What a release is made of agrees with the code: version, changelog, the workflow that publishes, the manifest for
Kubernetes, and the page of public names.
"""

import itertools
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import playground
import playground.client
import playground.testing
from playground.processes import STOP_SECONDS
from playground.serving import DISTRIBUTION, program_version
from playground.settings import ENV_PREFIX, Settings, from_environment
from playground.web.routes import CALLS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
HEADING = re.compile(r"^## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d{2}-\d{2}|unreleased)$", re.MULTILINE)
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
SECRETS = {"database": "postgresql://user:hush@db/name", "operator-token": "op", "secrets-key": ""}


def test_the_version_stands_in_one_place_and_the_changelog_begins_with_it() -> None:
    assert (PROJECT["name"], program_version()) == (DISTRIBUTION, PROJECT["version"])
    found = HEADING.findall(CHANGELOG)
    assert len(found) == CHANGELOG.count("\n## "), "each heading is `## [1.2.3] - 2026-01-31`"
    numbers = [tuple(map(int, heading[:3])) for heading in found]
    assert numbers == sorted(numbers, reverse=True) and ".".join(found[0][:3]) == PROJECT["version"]
    assert "unreleased" not in [heading[3] for heading in found[1:]]
    upgrading = (ROOT / "docs" / "upgrading.md").read_text()
    for (*newer, _), (*older, _) in itertools.pairwise(found):
        assert f"\n## From {'.'.join(older[:2])} to {'.'.join(newer[:2])}\n" in upgrading


@pytest.mark.parametrize("job", WORKFLOW["jobs"])
def test_only_what_publishes_may_and_only_after_the_tests(job: str) -> None:
    assert WORKFLOW["permissions"] == {}
    made = WORKFLOW["jobs"][job]
    publishes = "id-token" in made["permissions"]
    assert publishes == (made.get("environment") == "release") == (made.get("needs") == "build")
    if not publishes:
        assert made["permissions"] == {"contents": "read"}
        assert ".ci/run" in [step.get("run") for step in made["steps"]]
    used = [step["uses"].partition("@")[0] for step in made["steps"] if "uses" in step]
    assert ("actions/attest-build-provenance" in used) == publishes
    for step in made["steps"]:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    if job == "image":
        (push,) = [step["with"] for step in made["steps"] if step.get("id") == "push"]
        assert (push["platforms"], push["provenance"], push["sbom"]) == ("linux/amd64,linux/arm64", "mode=max", True)


def test_a_tag_is_refused_unless_it_is_the_version_that_the_changelog_dates(tmp_path: Path) -> None:
    script = WORKFLOW["jobs"]["build"]["steps"][1]["run"]
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())

    def passes(tag: str, changelog: str) -> bool:
        (tmp_path / "CHANGELOG.md").write_text(changelog)
        environment = {**os.environ, "GITHUB_REF_NAME": tag}
        done = subprocess.run(["bash", "-e", "-c", script], check=False, cwd=tmp_path, env=environment)
        return done.returncode == 0

    dated = HEADING.sub(lambda found: found[0].replace("unreleased", "2027-01-31"), CHANGELOG)
    assert passes(f"v{PROJECT['version']}", dated)
    assert not passes("v99.0.0", dated)
    undated = dated.replace(f"[{PROJECT['version']}] - ", f"[{PROJECT['version']}] - un")
    assert not passes(f"v{PROJECT['version']}", undated)


def test_the_manifest_has_settings_that_exist_probes_that_are_answered_and_no_rights() -> None:
    deployment, service, budget = yaml.safe_load_all((ROOT / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {}
    for row in container["env"]:
        secret = row.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        given[row["name"]] = row.get("value") or SECRETS.get(secret, "node-a")
    settings = Settings(**from_environment(given))  # an unknown or bad one is refused
    assert (settings.database, settings.node, settings.operator_token) == (SECRETS["database"], "node-a", "op")
    text = (ROOT / "kubernetes.yaml").read_text()
    assert {key for key in SECRETS if f"--from-literal={key}=" in text} == SECRETS.keys()
    for commented in re.findall(rf"# - {{name: ({ENV_PREFIX}\w+)", text):
        assert commented.removeprefix(ENV_PREFIX).lower() in Settings.__dataclass_fields__
    (port,) = container["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in (ROOT / "Dockerfile").read_text()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    known = {call.path for call in CALLS}
    for name, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        asked = container[f"{name}Probe"]["httpGet"]
        assert asked["path"] == path and asked["port"] == port["name"] and path in known
        assert settings.public_url == f"https://{asked['httpHeaders'][0]['value']}"
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + STOP_SECONDS
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    allowed = container["securityContext"]
    assert allowed["capabilities"] == {"drop": ["ALL"]} and not allowed["allowPrivilegeEscalation"]
    assert allowed["readOnlyRootFilesystem"] is True
    assert {it["name"] for it in container["volumeMounts"]} == {it["name"] for it in pod["volumes"]}


def test_the_public_names_are_on_the_page_and_can_be_imported() -> None:
    page = (ROOT / "docs" / "stability.md").read_text()
    for module in (playground, playground.testing, playground.client):
        (listed,) = re.findall(
            rf"### `import {module.__name__}`\n\n<!-- \w+ \w+ -->\n(.*?)<!-- end -->", page, re.DOTALL
        )
        assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)
    (addresses,) = re.findall(r"<!-- public calls -->\n(.*?)<!-- end -->", page, re.DOTALL)
    shown = set(re.findall(r"^\| `([^`]+)`", addresses, re.MULTILINE))
    assert shown == {call.path for call in CALLS if not call.undocumented}
