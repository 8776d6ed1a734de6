"""``facealike doctor``: examine the installation."""

from __future__ import annotations

from .console import command, print_json, say, show
from .options import DeviceOption, JsonOption, ModelOption


@command
def doctor(model: ModelOption = None, device: DeviceOption = "auto", as_json: JsonOption = False) -> int:
    """Examine the installation, the machine and the model, and say what to do about each problem.

    Versions, extras, processor, cores, memory, what onnxruntime and torch run on, the hashes of the model,
    and the time of each step.  Nothing is sent anywhere; the output names no photo and no person.

    Exit code: 0 no problem, 1 a problem, 2 an error.
    """
    from ..doctor.diagnose import diagnose

    found = diagnose(None if model is None else str(model), device)
    if as_json:
        print_json(found.to_dict())
        return 0 if found else 1
    for each in found.findings:
        show(f"{'!' if each.problem else ' '} {each.name}: {each.value}")
    show()
    show(str(found))
    for each in found.problems:
        say(str(each))
    return 0 if found else 1
