"""Every command explains itself: `--help` says what it does and shows an example that the command accepts."""

import importlib
import shlex

import pytest

from tests.conftest import ROOT

COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("src", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "__main__" in path.read_text()
)


def help_of(module, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_all_commands_are_found():
    assert {"src.stages.train", "benchmarks.speed"} <= set(COMMANDS)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_says_what_the_command_does_and_shows_an_example_of_it(module, monkeypatch, capsys):
    text = help_of(module, monkeypatch, capsys)
    assert text.startswith(f"usage: python -m {module}")
    about, _, examples = text.partition("\nexample")
    words = about.split("\n\n")[1]
    assert len(words) > 30 and "python -m" not in words
    shown = [line.strip() for line in examples.split("\n")[1:] if line.strip()]
    assert shown and shlex.split(shown[0])[:3] == ["python", "-m", module]
