"""Locust users that read streamed answers as they arrive: ``pip install penstock[locust]``.

A locustfile::

    from locust import between, task
    from penstock.locust import StreamingUser

    class Chat(StreamingUser):
        model = "instant-model"
        wait_time = between(1, 3)

        @task
        def ask(self):
            self.chat("Name three rivers.")

    locust -f locustfile.py --host http://127.0.0.1:8080 --unique-prompts

Locust measures a streamed answer only up to its head, and rounds what it measures: to whole milliseconds, above 100 ms
to two digits. Here the row ``POST chat`` lasts until ``[DONE]``, and these rows stand beside it; the column Type is the
unit of every number in the row. They hold the answers that ended well; the others are failures of ``POST chat``.

=================  ====  =================================================================================
Name               Type  Meaning
=================  ====  =================================================================================
chat TTFT          µs    from sending to the first meaningful event: text, reasoning, a refusal, a tool call
                         or a finish_reason
chat inter-token   µs    between two events with output; an event may hold several tokens
chat end-to-end    µs    from sending to ``[DONE]``
chat queue         µs    how long the request has waited in Penstock: ``queue`` in ``server-timing``
chat tokens/s      1/s   output tokens, as ``usage`` counts them (else the events with output), by end-to-end
=================  ====  =================================================================================

Percentiles have three significant digits, below 1,000 they are whole: a gap of 0.4 ms is 400, not 0. The row Aggregated
counts requests only. The column ``req/s`` of ``chat inter-token`` is how many events a second come in all.

Options beside locust's own, whose ``--help`` is printed before it has read the locustfile. Each can be a variable too,
such as ``PENSTOCK_LOCUST_MAX_TOKENS``; the API key is only ever one, ``PENSTOCK_API_KEY``.

====================  ==============================================================================================
--model NAME          the model for every user class; by default its own, ``instant-model`` if it has none
--max-tokens N        output tokens of an answer, at most; 128
--prompt-words N      words of a prompt, where the locustfile gives none; 64
--unique-prompts      begin every prompt differently, so that no prefix cache knows it
--think-time SECONDS  from an answer to the user's next request, where its class has no ``wait_time``; 0
====================  ==============================================================================================

What to know before believing the numbers:

- Locust is a closed loop: a user waits for its answer before it asks again, so a stalled server is asked less.
- One process has one core. When that is full, every time grows by what the answers wait for each other; locust warns,
  and ``--processes -1`` starts one process for each core.
- Events that come in one packet are a few microseconds apart: the time to read one here.
- Answers that are not finished at the end of the run are dropped, unless ``--stop-timeout`` lets them finish.
- Locust writes ``--csv`` once a second and not at the end; its last table and ``--json`` are complete.
- A server with a prefix cache answers the same prompt ever faster: ``--unique-prompts`` makes each one's start unique.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.locust.user import StreamingUser

__all__ = ["StreamingUser"]


def __getattr__(name: str) -> Any:
    """Import the user class when it is asked for: importing locust replaces the standard library's sockets."""
    if name != "StreamingUser":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from penstock.locust.user import StreamingUser  # noqa: PLC0415

    return StreamingUser
