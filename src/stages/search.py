"""python -m src.stages.search SEARCH: train the points of a search that are not trained yet, into models/searches/SEARCH."""

import argparse

from src import params, search
from src.errors import command
from src.wording import number


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("search", help="a name under searches: in params.yaml, e.g. mnist_search")
    name = parser.parse_args().search
    settings = params.load()
    with search.Pools(settings.jobs) as pools:
        outcome = search.run(name, settings.search(name), pools)
    best, cost = outcome["trials"][outcome["best"]], outcome["cost"]
    print(f"{name}: {cost['trials']} trials, {cost['epochs']:,} epochs; best {outcome['metric']} {number(best['value'], 4)} at "
          f"{search.described(best['point'])}; {cost['run_seconds']:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
