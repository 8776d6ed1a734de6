"""``facealike doctor``: each problem is found where it is planted, and its sentence has a cure."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from facealike.doctor import machine, packages, running
from facealike.doctor.diagnose import _torch, diagnose
from facealike.doctor.diagnosis import Diagnosis, Finding
from facealike.embedding.face_model import Model
from support.run_command import command
from support.tiny_model import tiny_model_file

XEON = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu sse2 {}\n"


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a base install; loading torch takes seconds."""
    monkeypatch.setattr("facealike.doctor.diagnose.version", lambda _: None)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_model_file().write(tmp_path / "tiny.facealike") or tmp_path / "tiny.facealike"


def test_a_processor_is_named_with_what_makes_it_fast(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(XEON.format("avx2 avx512_vnni made_up"))
    found = machine.processor(file)
    assert found.value == "Some CPU @ 2.00GHz; avx2, avx512_vnni" and found.problem is None
    file.write_text(XEON.format(""))
    old = machine.processor(file)
    assert old.problem is not None and "AVX2" in old.problem and old.cure
    file.write_text("model name: ARM\nFeatures: fp asimd asimddp\n")  # has no SSE2, so no AVX2 is missed
    assert machine.processor(file).problem is None
    assert machine.processor(tmp_path / "nowhere").problem is None


@pytest.mark.parametrize(
    ("limit", "problem"),
    [("max 100000", False), ("50000 100000", True), ("100000000 100000", False), ("x", False)],
)
def test_a_container_with_fewer_cores_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, problem: bool
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(limit)
    found = machine.cores(tmp_path / "cpu.max")
    assert (found.problem is not None) is problem
    if problem:
        assert "threads=1" in str(found.cure)


def test_little_memory_is_a_problem(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(str(300 << 20))
    assert machine.memory(limit).problem is not None
    limit.write_text("max")
    assert machine.memory(limit).problem is None


def test_a_folder_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.disk(tmp_path / "not" / "yet").problem is None
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = machine.disk(tmp_path / "not" / "yet")
    assert (
        found.problem is not None and str(tmp_path) in found.problem and "FACEALIKE_HOME" in str(found.cure)
    )


def test_two_packages_of_onnxruntime_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.version
    monkeypatch.setattr(packages, "version", lambda n: "1.0" if n == "onnxruntime-gpu" else real(n))
    (problem,) = (each for each in packages.package_findings() if each.problem)
    assert "onnxruntime and onnxruntime-gpu" in str(problem.problem) and "pip uninstall" in str(problem.cure)


def test_an_extra_is_installed_where_all_its_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [
        "numpy",
        "av>=1; extra == 'video'",
        'a-package>2; extra == "ray"',
        "b; extra == 'ray'",
        "x; extra == 'dev'",
    ]
    monkeypatch.setattr(packages.metadata, "requires", lambda _: needs)
    monkeypatch.setattr(packages, "version", lambda name: None if name == "b" else "1")
    assert packages.extras() == "installed: video; not installed: ray"


def test_a_slow_step_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(tiny_model_file(), "cpu", threads=1)
    monkeypatch.setattr(running, "median_milliseconds", lambda step: (step(), 29.0)[1])
    assert [each.problem for each in running.timings(model)] == [None, None]
    monkeypatch.setattr(running, "median_milliseconds", lambda step: (step(), 31.0)[1])
    assert all("30 ms at most" in str(each.problem) and each.cure for each in running.timings(model))


def test_a_device_without_a_reason_not_to_be_used_is_a_problem(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime says that it has CUDA, and then takes the CPU."""
    import onnxruntime

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    found = {each.name: each for each in running.running_findings(tiny, "auto")}
    assert "could not start" in str(found["device"].problem)
    found = {each.name: each for each in running.running_findings(tiny, "cpu")}
    assert found["device"].problem is None


@pytest.mark.usefixtures("no_torch")
def test_a_damaged_model_is_the_problem_and_ends_nothing(tiny: Path) -> None:
    content = bytearray(tiny.read_bytes())
    content[len(content) // 2] ^= 0xFF
    tiny.write_bytes(content)
    found = diagnose(tiny, "cpu")
    assert not found and [each.name for each in found.problems] == ["model"]
    assert found.problems[0].cure


@pytest.mark.usefixtures("no_torch")
def test_the_command_tells_and_its_exit_code_says_whether_there_is_a_problem(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "median_milliseconds", lambda step: (step(), 1.0)[1])
    code, out, err = command(capsys, "doctor", "--model", tiny, "--device", "cpu")
    assert code == 0 and "no problem" in out and "embed a face: 1.0 ms" in out and not err
    monkeypatch.setattr(running, "median_milliseconds", lambda step: (step(), 99.0)[1])
    code, out, err = command(capsys, "doctor", "--model", tiny, "--device", "cpu")
    assert code == 1 and "! embed a face" in out and err.count("\n") == 2
    code, out, _ = command(capsys, "doctor", "--model", tiny, "--device", "cpu", "--json")
    told = json.loads(out)
    assert code == 1 and told["healthy"] is False
    assert {each["name"] for each in told["findings"] if each["problem"]} == {"find faces", "embed a face"}


def test_a_torch_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facealike.doctor.diagnose.version", lambda _: "2.0")
    monkeypatch.setitem(sys.modules, "facealike.train.lightning.trainer", None)  # its import fails
    (found,) = _torch()
    assert "cannot be loaded" in str(found.problem) and found.cure


def test_a_diagnosis_is_true_where_nothing_is_wrong() -> None:
    fine, ill = Finding("a", "1"), Finding("b", "2", "it is broken", "mend it")
    assert Diagnosis((fine,)) and not Diagnosis((fine, ill))
    assert str(ill) == "b: it is broken; mend it" and str(fine) == "a: 1"
    assert str(Diagnosis((fine, ill))) == "2 things examined, 1 problem"
