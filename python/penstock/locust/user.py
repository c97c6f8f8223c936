"""A locust user that reads streamed chat completions as they arrive."""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson
from locust import FastHttpUser

import penstock.locust.options  # noqa: F401 - registers itself with locust
from penstock.locust.answer import Answer
from penstock.locust.chunk import code_in
from penstock.locust.events import EventReader
from penstock.locust.private import FAILURE_EXCEPTIONS, lines_of
from penstock.locust.prompt import prompt_of, unique
from penstock.locust.rows import queue_of, record

if TYPE_CHECKING:
    from locust.contrib.fasthttp import ResponseContextManager

__all__ = ["StreamingUser"]

PATH = "/v1/chat/completions"
API_KEY = "PENSTOCK_API_KEY"


class StreamingUser(FastHttpUser):
    """Asks for streamed chat completions; see the package for the rows that it fills.

    The API key is taken from the environment variable PENSTOCK_API_KEY, so that no process list shows it.
    """

    abstract = True

    model: str = "instant-model"
    """The model that this class asks; ``--model`` replaces it."""
    network_timeout = 300.0
    """Seconds of silence after which a request fails; Penstock's own limits end first (180 s to a first event)."""

    def wait_time(self) -> float:
        """Return the seconds until the next request: ``--think-time``, unless a class has a wait_time of its own."""
        return float(self.environment.parsed_options.think_time)

    def chat(
        self, prompt: str | None = None, *, name: str = "chat", headers: dict[str, str] | None = None, **body: Any
    ) -> None:
        """Ask, read the whole answer and record it.

        prompt: the user's message; by default ``--prompt-words`` words. name: how the rows begin. headers: more of the
        request's headers, such as ``x-session-id``. body: more fields of its body, such as ``temperature``. Both go
        before those that are set here.

        The request fails if it is not answered with 200 (the failure is the status and the error's code), if an event
        is an error (its code) or no JSON, if ``[DONE]`` or anything meaningful is missing, and if the connection ends
        before the answer does.
        """
        data = self._request(prompt, body)
        answer = Answer(sent=perf_counter())
        with self.client.post(
            PATH, data=data, headers=_headers() | (headers or {}), name=name, stream=True, catch_response=True
        ) as response:
            failure = _read(response, answer)
            if failure is None:
                record(self.environment.stats, name, answer, _queue(response))
            else:
                response.failure(failure)

    def _request(self, prompt: str | None, body: dict[str, Any]) -> str:
        options = self.environment.parsed_options
        text = prompt_of(options.prompt_words) if prompt is None else prompt
        request = {
            "model": options.model or self.model,
            "messages": [{"role": "user", "content": unique(text) if options.unique_prompts else text}],
            "max_tokens": options.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return orjson.dumps(request | body).decode()


def _headers() -> dict[str, str]:
    # A compressed stream would arrive in the compressor's blocks and not event by event.
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if key := os.environ.get(API_KEY):
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _read(response: ResponseContextManager, answer: Answer) -> str | None:
    """Read a response to its end; return why it failed, if it did."""
    if response.status_code == 0:
        return f"no answer: {_name(response.request_meta['exception'])}"
    try:
        if response.status_code != 200:
            return f"{response.status_code} {code_in(response.content)}"
        reader = EventReader()
        # Locust has set it to the content-length, if there is one.
        response.request_meta["response_length"] = 0
        for line in lines_of(response):
            now = perf_counter()
            response.request_meta["response_length"] += len(line)
            data = reader.read(line)
            if data is not None:
                answer.read(data, now)
    except FAILURE_EXCEPTIONS as error:
        return f"broken off: {_name(error)}"
    finally:
        response.request_meta["response_time"] = (perf_counter() - answer.sent) * 1000
    return answer.failure


def _queue(response: ResponseContextManager) -> float | None:
    """Return the seconds that the request has waited, if the server says so."""
    values = response.headers.get("server-timing", "") if response.headers else ""
    return queue_of(values if isinstance(values, str) else ",".join(values))


def _name(error: BaseException) -> str:
    return type(error).__name__
