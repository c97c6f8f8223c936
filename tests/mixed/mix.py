"""The whole mix: which clients, which backends, and the configuration between them."""

from __future__ import annotations

from tests.mixed.clients import WIDE, Client, half_closer, leaver, slow_reader, slow_sender, stalled, streamed, whole
from tests.mixed.pipelines import broken, pipelined
from tests.mixed.stage import Stage

CLIENTS: dict[str, tuple[int, Client]] = {
    "whole": (12, whole),
    "streamed": (12, streamed),
    "stalled": (2, stalled),
    "pipelined": (8, pipelined),
    "broken": (2, broken),
    "slow_reader": (3, slow_reader),
    "slow_sender": (4, slow_sender),
    "leaver": (6, leaver),
    "half_closer": (2, half_closer),
}
# Fewer than its two backends have together.
NODE_LIMIT = 11


def stage_of(seed: int) -> Stage:
    """Return two steady backends on one node, one that restarts, one that streams alone, and one beside them."""
    stage = Stage(seed)
    node = stage.cap("node gpu", NODE_LIMIT)
    stage.backend("a", 8, node)
    stage.backend("b", 6, node, idle=(0.02, 0.5), keep_alive=0.3)
    stage.backend("c", 10, idle=(0.5, 3.0))
    stage.backend("d", 6)
    stage.backend("e", 6, streams_whole=True)
    return stage


def config_of(stage: Stage) -> str:
    """Return the configuration. The script of a request decides, and no bound of a queue, a budget or a timer."""
    a, b, c, d, e = (stage.backends[name] for name in "abcde")
    patient = "profile: instant, queue: {wait: 50s, requests: 10000}, retry: {budget: 100%}"
    long = "timeouts: {connect: 10s, first_event: 50s, between_events: 50s, total: 90s}"
    short = "timeouts: {connect: 10s, first_event: 2s, between_events: 2s, total: 6s}"
    n = f"parameters: {{default: {{n: {WIDE.choices}}}}}"
    return f"""
log: {{level: warning}}
nodes: {{gpu: {{concurrency: {NODE_LIMIT}}}}}
backends:
  a: {{{a.config(", node: gpu")}}}
  b: {{{b.config(", node: gpu")}}}
  c: {{{c.config()}}}
  d: {{{d.config()}}}
  e: {{{e.config()}}}
tiers:
  fast: {{models: [fast], backends: [a, b, c, e], {patient}, {long}}}
  wide: {{models: [wide], backends: [a, d], {patient}, {long}, {n}}}
  brief: {{models: [brief], backends: [b, d], {patient}, {short}, share: 64}}
"""
