"""The command line: exit codes, what is imported, and what an interrupt leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parity.cli import COMMANDS, main
from parity.conventions import Convention, catalogue, select

EXPERIMENT = """
data = { source = "regression", features = 3, samples = 64 }
layers = [{ units = 4, activation = "tanh", kernel_regularizer = { l2 = 0.01 } }, { units = 1 }]
loss = "mse"
optimizer = "sgd"
batch_size = 8
steps = 6
"""


@pytest.fixture
def experiment(tmp_path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code or 0


def diff(experiment: Path, *arguments: object) -> int:
    return call("diff", experiment, "--reference", "scratch", *arguments)


def test_parity_is_0(experiment, capsys):
    assert diff(experiment) == 0
    said = capsys.readouterr()
    assert said.out.startswith("PARITY: given the same inputs, every operation agrees within what rounding can explain")
    assert "Traceback" not in said.err


def test_diverged_is_1(experiment, capsys):
    assert diff(experiment, "--candidate", "scratch[l2.penalty=half]", "-q") == 1
    assert capsys.readouterr().out == "DIVERGED: there is a difference that rounding cannot explain\n"
    assert diff(experiment, "--candidate", "scratch[l2.penalty=half]", "--set", "layers.0.kernel_regularizer.l2=0") == 0


@pytest.mark.usefixtures("runtime")
def test_against_keras(experiment):
    assert call("diff", experiment, "-q") == 0
    assert call("diff", experiment, "-q", "--candidate", "scratch[l2.penalty=half]") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff"],
        ["diff", "nowhere.toml"],
        ["diff", "EXPERIMENT", "--candidate", "nobody"],
        ["diff", "EXPERIMENT", "--steps", "0"],
        ["diff", "EXPERIMENT", "--precision", "float16"],
        ["diff", "EXPERIMENT", "--report", "jsn=-"],
        ["diff", "EXPERIMENT", "--set", "steps"],
        ["diff", "EXPERIMENT", "--set", "stepz=3"],
        ["diff", "EXPERIMENT", "--set", "layers.1.units=2"],
        ["diff", "EXPERIMENT", "--bogus"],
        ["conventions", "l2.penality"],
        ["conventions", "l2.penalty", "half"],
        ["dif"],
        ["--bogus"],
    ],
    ids=" ".join,
)
def test_usage_is_2(experiment, capsys, arguments):
    assert call(*(str(experiment) if part == "EXPERIMENT" else part for part in arguments)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("declared", [["l2.penalty=half,l2.penalty=absent"], ["l2.penalty=half", "l2.penalty=absent"]])
def test_a_code_is_declared_once(experiment, capsys, declared):
    assert diff(experiment, *(word for one in declared for word in ("--declare", one))) == 2
    assert "--declare: l2.penalty is given twice: half and absent; give one of them" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["start", "step", "weights"])
def test_a_side_that_raises_is_3_and_named_with_file_and_line(experiment, capsys, where):
    bodies = dict.fromkeys(("start", "step", "weights"), "return {}") | {where: "raise RuntimeError('no luck')"}
    path = experiment.with_name("mynet.py")
    lines = ["class Net:"]
    for name, parameters in (("start", "experiment, weights"), ("step", "x, y"), ("weights", "")):
        lines += [f"    def {name}(self, {parameters}):", f"        {bodies[name]}"]
    path.write_text("\n".join(lines) + "\n")
    assert diff(experiment, "--candidate", f"{path}:Net") == 3
    said = capsys.readouterr().err
    line = lines.index("        raise RuntimeError('no luck')") + 1
    assert f"{path}:Net raised RuntimeError in {where}()" in said
    assert f"no luck ({path}, line {line})" in said
    assert "Traceback" not in said


def test_a_word_that_is_none_is_3(experiment, capsys):
    path = experiment.with_name("mynet.py")
    path.write_text(
        "class Net:\n"
        "    def start(self, experiment, weights): self.w = weights\n"
        "    def step(self, x, y): return {'lose': 1.0}\n"
        "    def weights(self): return self.w\n"
    )
    assert diff(experiment, "--candidate", f"{path}:Net") == 3
    assert "'lose', which is not in the vocabulary" in capsys.readouterr().err


def test_nothing_judged_is_4(experiment, capsys):
    assert diff(experiment, "--lane", "free", "-q") == 4
    assert capsys.readouterr().out.startswith("CANNOT_JUDGE")


def test_a_report_on_standard_output_is_alone_there(experiment, capsys):
    assert diff(experiment, "--report", "json=-", "--steps", "2", "--precision", "float32") == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["steps_compared"], report["precision"], report["command"][:6]) == (2, "float32", "parity")
    assert "PARITY" in said.err


def test_reports_are_written_whatever_the_verdict(experiment):
    folder = experiment.parent
    reports = [part for form in ("json", "markdown", "csv") for part in ("--report", f"{form}={folder / form}")]
    assert diff(experiment, "--candidate", "scratch[l2.penalty=half]", *reports) == 1
    assert json.loads((folder / "json").read_text())["exit_code"] == 1
    assert "DIVERGED" in (folder / "markdown").read_text()
    assert (folder / "csv").read_text().startswith("precision,step,phase,")


# The catalogue ----------------------------------------------------------------------------------------------------


def test_the_overview_of_the_conventions_has_every_code_and_choice(capsys):
    assert call("conventions") == 0
    said = capsys.readouterr().out.split()
    for entry in catalogue().values():
        assert entry.code in said
        assert {entry.keras.name, *(choice.name for choice in entry.choices)} <= {word.strip(",") for word in said}


def test_the_beginning_of_codes_lists_those_alone(capsys):
    assert call("conventions", "adam") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "." in line.partition(" ")[0]] == [
        code for code in catalogue() if code.startswith("adam.")
    ]


@pytest.mark.parametrize("code", catalogue())
def test_a_convention_is_shown_whole_and_its_code_unbroken(code, capsys):
    assert call("conventions", code) == 0
    said = capsys.readouterr().out
    words, lines = " ".join(said.split()), [line.strip() for line in said.splitlines()]
    entry = catalogue()[code].general()
    assert said.startswith(f"{code}: {entry.title}\n")
    for choice in entry.listed:
        assert {choice.fix_candidate, *choice.sources} <= set(lines)
        assert choice.fix_reference in lines or choice.no_fix_reference in words
        assert choice.made_by in words
        assert choice.shows in words


@pytest.mark.parametrize("arguments", [[], ["l2"], ["l2.penalty"]], ids=" ".join)
def test_the_conventions_as_json(arguments, capsys):
    assert call("conventions", *arguments, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"schema_version", "names", "conventions"}
    chosen = select(*arguments) if arguments else tuple(catalogue().values())
    assert [Convention.model_validate(entry) for entry in said["conventions"]] == [entry.general() for entry in chosen]
    for entry in said["conventions"]:
        assert set(entry) == {"code", "title", "keras", "choices", "factor"}


# In a process of its own ------------------------------------------------------------------------------------------

HEAVY = ("tensorflow", "keras", "pandas", "pydantic", "rich", "numpy", "plotly", "jinja2", "scratch_net", "keras_ref")
LOADED = f"""
import sys
from parity.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("HEAVY:", *[name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_that_is_slow(arguments):
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: parity" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["HEAVY:"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(name, capsys):
    assert call(name, "--help") == 0
    said = capsys.readouterr().out
    assert f"Usage: parity {name}" in said
    assert f"  parity {name}" in said


def test_the_overview_names_every_command(capsys):
    assert call("--help") == 0
    said = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in said


def test_python_m_parity():
    done = subprocess.run([sys.executable, "-m", "parity", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("parity, version ")


def references(schema: object) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [found for part in schema.values() for found in references(part)]
    return [found for part in schema for found in references(part)] if isinstance(schema, list) else []


def test_the_schema_is_whole(capsys):
    assert call("schema") == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["type"] == "object"
    assert {"data", "layers", "loss", "optimizer"} <= set(schema["required"])
    found = references(schema)
    assert found
    for reference in found:
        at = schema
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert at


UNDER_WAY = """
from pathlib import Path
from scratch_net.adapter import ScratchSide

class Net(ScratchSide):
    taken = 0

    def steps(self, x, y):
        self.taken += 1
        if self.taken == 4:
            Path(__file__).with_name("under_way").touch()
        return super().steps(x, y)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_an_interrupt_leaves_the_reports(experiment):
    folder = experiment.parent
    report, net, under_way = folder / "report.json", folder / "net.py", folder / "under_way"
    net.write_text(UNDER_WAY)
    command = [sys.executable, "-m", "parity", "diff", experiment]
    command += ["--reference", "scratch", "--candidate", f"{net}:Net", "--steps", "2000000"]
    command += ["--precision", "float32", "--report", f"json={report}", "--report", f"csv={folder / 'report.csv'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if under_way.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()  # else leaving the block would wait for all of its steps
    assert process.returncode == 130
    assert "Traceback" not in err
    said = json.loads(report.read_text())
    assert said["interrupted"] is True
    assert said["exit_code"] == 130
    assert 0 < said["steps_compared"] < 2000000
    assert said["verdict"] != "PARITY"
    assert (folder / "report.csv").read_text().startswith("precision,step,")
    left = {path.name for path in folder.iterdir()} - {"net.py", "under_way", "__pycache__"}
    assert left == {"experiment.toml", "report.csv", "report.json"}
