"""The files of ``deploy``: what container, unit and proxy must state, and what their checkers say."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "facealike@.service"
PROXY = DEPLOY / "nginx.conf"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile in order: name and arguments."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Containerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def test_the_image_has_pinned_bases_and_a_build_stage_that_stays_behind() -> None:
    bases = [rest for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2 and bases[0].endswith(" AS build")
    for base in bases:
        image, _, tag = base.partition(" ")[0].rpartition(":")
        assert image.count("/") == 2 and re.match(r"\d+\.\d+\.\d+-", tag), base
    copied = [rest.split() for name, rest in final_stage() if name == "COPY"]
    assert all(words[0] == "--from=build" for words in copied), "sources stay out of the image"


def test_what_is_copied_into_the_build_exists() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {name for name, _ in instructions()} <= known
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest


def test_the_container_runs_as_a_user_without_rights_and_is_checked() -> None:
    stage = final_stage()
    order = [name for name, _ in stage]
    said = dict(stage)
    uid, _, gid = said["USER"].partition(":")
    assert int(uid) > 0 and int(gid) > 0, "numbers, so that Kubernetes can check runAsNonRoot"
    assert "RUN" not in order[order.index("USER") :]
    assert json.loads(said["ENTRYPOINT"]) == ["facealike"] and json.loads(said["CMD"]) == ["serve"]
    assert "/healthz" in said["HEALTHCHECK"]
    json.loads(said["HEALTHCHECK"].partition(" CMD ")[2])
    home = dict(word.split("=", 1) for word in said["ENV"].split())
    written = [value for name, value in home.items() if name in ("FACEALIKE_HOME", "FACEALIKE_SERVE_DATA")]
    assert len(written) == 2 and all(Path(value).is_relative_to(said["VOLUME"]) for value in written)


def test_the_variables_of_the_image_are_settings() -> None:
    pytest.importorskip("pydantic_settings", reason="the service is not installed")
    from facealike.service.settings import PREFIX, ServiceSettings

    stated = dict(word.split("=", 1) for word in dict(final_stage())["ENV"].split())
    made = {name.removeprefix(PREFIX).lower(): value for name, value in stated.items() if PREFIX in name}
    assert ServiceSettings(**made).host == "0.0.0.0"


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_the_unit_is_hardened_and_waits_for_accepted_work() -> None:
    pytest.importorskip("pydantic_settings", reason="the service is not installed")
    from facealike.service.settings import ServiceSettings

    service = unit()
    assert service["User"] != "root" and service["CapabilityBoundingSet"] == ""
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict" and service["LimitCORE"] == "0"
    assert float(service["TimeoutStopSec"]) > ServiceSettings.model_fields["grace"].default


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit_and_rates_it_as_hardened(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/usr/local/lib/facealike/bin/facealike", "/bin/true")
    copy.write_text(text.replace("/usr/bin/curl", "/bin/true"))
    run = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    if done.returncode and "facealike" not in done.stderr:
        pytest.skip(f"systemd-analyze does not run here: {done.stderr[:200]}")
    assert done.returncode == 0 and "Unknown" not in done.stderr, done.stderr
    run = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(copy)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_proxy_keeps_photos_in_memory_and_paths_out_of_its_log() -> None:
    text = PROXY.read_text()
    stated = dict(re.findall(r"(?m)^\s*(\w+) ([^{;]+);", text))
    assert stated["access_log"] == "off"
    assert stated["client_body_buffer_size"] == stated["client_max_body_size"] == "20m"
    assert stated["proxy_max_temp_file_size"] == "0" and stated["proxy_set_header"] == "Host $http_host"
    assert len(re.findall(r"server 127\.0\.0\.1:\d+ max_fails=0;", text)) == 2


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_accepts_the_site(tmp_path: Path) -> None:
    site = re.sub(r"\n\s*(ssl_\w+|error_log) .*", "", PROXY.read_text())
    (tmp_path / "site.conf").write_text(site.replace("listen 443 ssl;", "listen 127.0.0.1:1;"))
    main = f"pid {tmp_path}/pid; events {{}} http {{ include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(main)
    run = [
        "nginx",
        "-t",
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        str(tmp_path / "log"),
    ]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30)
    # Only what a user without rights may not do is no mistake of the file.
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
