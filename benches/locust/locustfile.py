"""Two kinds of users on Penstock's two tiers: four who want quick answers for each who waits for a thought."""

from __future__ import annotations

from locust import between, task

from penstock.locust import StreamingUser


class Instant(StreamingUser):
    """Somebody in a chat."""

    model = "instant-model"
    weight = 4
    wait_time = between(0.5, 1.5)

    @task(3)
    def ask(self) -> None:
        self.chat(name="instant")

    @task
    def ask_shortly(self) -> None:
        self.chat("Name three rivers.", name="instant short", max_tokens=32)


class Thinking(StreamingUser):
    """Somebody with a problem."""

    model = "thinking-model"
    weight = 1
    wait_time = between(2, 4)

    @task
    def ask(self) -> None:
        self.chat("Why is the sky blue? Think it through.", name="thinking", max_tokens=512)
