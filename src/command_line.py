"""What the commands' `--help` have in common: usage and text from the module's own words, and an example to copy."""

import argparse

# What a stage's one argument is: the section of params.yaml that it names something of, and a name that is there.
NAMES = {"dataset": ("datasets", "digits"), "study": ("studies", "digits"), "search": ("searches", "digits_search")}


def parser(words, *examples):
    """An ArgumentParser for a module whose docstring is `words`: 'python -m src.NAME ARGUMENTS: what it does'."""
    usage, _, text = words.partition(": ")
    shown = "\n".join(f"  {example}" for example in examples)
    return argparse.ArgumentParser(
        prog=" ".join(usage.split()[:3]),
        description=text,
        epilog=f"example{'s' if len(examples) > 1 else ''}:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def name(words, kind):
    """The one argument of a stage, the name of a dataset, study or search. words: the stage's docstring."""
    module = words.split()[2]
    stage, (section, example) = module.rsplit(".", 1)[-1], NAMES[kind]
    found = parser(
        words, f"python -m {module} {example}", f"dvc repro {stage}@{example}    what it needs is run before it"
    )
    found.add_argument(kind, help=f"a name under {section}: in params.yaml, e.g. {example}")
    return getattr(found.parse_args(), kind)
