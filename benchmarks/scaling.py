"""One process against two, one thread each: weak scaling (K grows with them) and strong scaling (K stays).

`apart` are two processes that compute at once and exchange nothing: what the machine itself loses when both work, so
`together` beside `apart` is the price of distribution alone.

    python benchmarks/scaling.py [--rounds 3] [--corpora 1] [--windows 4]
"""

from __future__ import annotations

import argparse

from measure import emit, summary
from processes import alternate, made_up_run, made_up_step, nothing
from processes import together as processes

from mdjpt_platform.train.context import Context


def body(rank: int, world: int, rounds: int, corpora: int, windows: int) -> None:
    own, wide = 1, 2 * world
    one = made_up_step(made_up_run(corpora, own), Context(), windows)
    all_at_once = made_up_step(made_up_run(corpora, own * world), Context(rank, world), windows)
    weak = alternate({"alone": one if rank == 0 else nothing, "apart": one, "together": all_at_once}, rounds)
    whole = made_up_step(made_up_run(corpora, wide), Context(), windows)
    share = made_up_step(made_up_run(corpora, wide), Context(rank, world), windows)
    strong = alternate({"alone": whole if rank == 0 else nothing, "together": share}, rounds)
    if rank > 0:
        return
    facts = {"workers": world, "threads": 1, "corpora": corpora, "windows": corpora * windows, "rounds": rounds}
    figures = {
        name: summary(values, {base: weak[base] for base in ("alone", "apart")}) for name, values in weak.items()
    }
    efficiency = {
        "efficiency": 1 / figures["together"]["ratio_to_alone"],
        "of_the_machine": 1 / figures["apart"]["ratio_to_alone"],
        "of_distribution": 1 / figures["together"]["ratio_to_apart"],
    }
    emit("scaling.weak", **facts, episodes={"alone": own, "together": own * world}, **efficiency, figures=figures)
    figures = {name: summary(values, {"alone": strong["alone"]}) for name, values in strong.items()}
    speedup = 1 / figures["together"]["ratio_to_alone"]
    emit("scaling.strong", **facts, episodes=wide, speedup=speedup, efficiency=speedup / world, figures=figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corpora", type=int, default=1)
    parser.add_argument("--windows", type=int, default=4, help="of each corpus in an episode")
    chosen = parser.parse_args()
    processes(2, body, chosen.rounds, chosen.corpora, chosen.windows)
