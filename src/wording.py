"""How configurations and numbers read in tables, MLflow and sentences."""

import math


def named(configuration):
    """{'name': 'SGD', 'momentum': 0.9} -> 'SGD(momentum=0.9)'; None -> 'none'."""
    if configuration is None:
        return "none"
    arguments = ", ".join(f"{key}={value}" for key, value in configuration.items() if key != "name")
    return configuration["name"] + (f"({arguments})" if arguments else "")


def value(setting):
    """Any setting of an experiment as short text."""
    if isinstance(setting, dict):
        if "name" in setting:
            return named(setting)
        return ", ".join(f"{key}={item}" for key, item in setting.items() if item) or "none"
    if isinstance(setting, list):
        texts = [value(item) for item in setting]
        return texts[0] if len(set(texts)) == 1 else ", ".join(texts)
    return "none" if setting is None else str(setting)


def layers(units, convolutions=()):
    """[128, 128] -> '2 x 128'; [128, 64] -> '128, 64'; [] -> 'none'; convolutions go before: 'conv 32, conv 64, 128'."""
    filters = [f"conv {convolution['filters']}" for convolution in convolutions]
    if not units:
        return ", ".join(filters) or "none"
    same = len(set(units)) == 1 and not filters
    return f"{len(units)} x {units[0]}" if same else ", ".join([*filters, *map(str, units)])


def percent(rate, digits=2):
    return f"{100 * rate:.{digits}f} %"


def seconds(duration):
    """12.34 -> '12.3 s'; 75 -> '1 min 15 s'; 4000 -> '1 h 6 min'."""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def number(figure, digits=3):
    """A number with `digits` significant digits, plain where it is readable: 0.00123, 12.3, 12,700."""
    if figure is None or not math.isfinite(figure):
        return "not a number"
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.{digits}g}"


def times(count):
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def listing(words):
    """['a', 'b', 'c'] -> 'a, b and c'."""
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
