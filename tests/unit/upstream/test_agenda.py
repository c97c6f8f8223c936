"""Which pages are asked, and when."""

from penstock.upstream.agenda import MISSES_TO_RARE, RARE_SECONDS, Agenda
from penstock.upstream.gauges import Engine, Facts, Gauges, Reading


class Server:
    """A server that understands some paths, and a clock."""

    def __init__(self, **pages: Engine | None) -> None:
        """Take paths, `/` written as `_`, and the engine that their pages show (None: none)."""
        self.pages = {"/" + name: engine for name, engine in pages.items()}
        self.agenda = Agenda()
        self.now = 0.0

    def round(self, own: int = 0, seconds: float = 1.0) -> list[str]:
        """Ask what is due, as the scraper does; return the paths."""
        asked = []
        for item in self.agenda.due(self.now, own):
            for way, path, _ in item.ways():
                asked.append(path)
                name = path.partition("?")[0].replace("/", "_").replace("_", "/", 1)
                if name in self.pages:
                    reading = Reading(Gauges(running=0), Facts(self.pages[name]))
                    self.agenda.understood(item, way, reading, self.now)
                    break
            else:
                self.agenda.missed(item, self.now)
        self.now += seconds
        return asked


WHO = ["/props", "/metrics", "/server_info", "/get_server_info", "/info"]


def test_vllm() -> None:
    server = Server(metrics=Engine.VLLM, v1_models=None, version=None)
    assert server.round() == ["/props", "/metrics"]
    assert server.agenda.engine is Engine.VLLM
    assert server.round() == ["/metrics", "/v1/models", "/version"]
    rounds = [server.round() for _ in range(120)]
    assert all("/metrics" in asked for asked in rounds)
    assert sum("/version" in asked for asked in rounds) == 120 / RARE_SECONDS


def test_sglang_with_everything() -> None:
    server = Server(metrics=Engine.SGLANG, v1_loads=Engine.SGLANG, server_info=Engine.SGLANG, v1_models=None)
    assert server.round() == ["/props", "/metrics"]
    assert server.round() == ["/v1/loads?include=core", "/metrics", "/server_info", "/v1/models"]
    assert server.round() == ["/v1/loads?include=core", "/metrics"]


def test_an_older_sglang_without_metrics() -> None:
    server = Server(get_load=Engine.SGLANG, get_server_info=Engine.SGLANG)
    assert server.round() == ["/props", "/metrics", "/server_info", "/get_server_info"]
    assert server.agenda.engine is Engine.SGLANG
    assert server.round() == [
        *("/v1/loads?include=core", "/get_load", "/metrics"),
        *("/server_info", "/get_server_info", "/v1/models"),
    ]
    assert server.round() == server.round() == ["/get_load", "/metrics"]
    assert server.round() == server.round() == ["/get_load"]
    assert server.agenda.engine is Engine.SGLANG


def test_tgi() -> None:
    server = Server(metrics=Engine.TGI, info=Engine.TGI)
    assert server.round() == ["/props", "/metrics"]
    assert server.round() == ["/metrics", "/info"]
    assert server.round() == ["/metrics"]


def test_an_idle_llamacpp_is_left_asleep() -> None:
    server = Server(metrics=Engine.LLAMACPP, props=Engine.LLAMACPP, slots=Engine.LLAMACPP)
    assert server.round() == ["/props"]
    assert {path for _ in range(300) for path in server.round(own=0)} == {"/props"}
    assert all("/metrics" in server.round(own=1) for _ in range(10))


def test_a_llamacpp_without_metrics() -> None:
    server = Server(props=Engine.LLAMACPP, slots=Engine.LLAMACPP)
    server.round(own=1)
    assert server.round(own=1) == ["/metrics", "/slots", "/props"]
    assert server.round(own=1) == ["/slots"]


def test_an_unknown_server_is_asked_rarely() -> None:
    server = Server()
    assert server.round() == WHO
    assert server.round() == server.round() == ["/metrics"]
    assert server.agenda.engine is None
    later = [asked for _ in range(600) if (asked := server.round())]
    assert sum(map(len, later)) <= 600 / RARE_SECONDS * (len(WHO) + MISSES_TO_RARE - 1)


def test_metrics_switched_on_later_are_found() -> None:
    server = Server()
    for _ in range(90):
        server.round()
    server.pages["/metrics"] = Engine.VLLM
    for _ in range(int(RARE_SECONDS) + 1):
        server.round()
    assert server.agenda.engine is Engine.VLLM


def test_metrics_that_go_are_asked_rarely_and_found_again() -> None:
    server = Server(metrics=Engine.VLLM)
    for _ in range(10):
        server.round()
    del server.pages["/metrics"]
    for _ in range(MISSES_TO_RARE):
        assert "/metrics" in server.round()
    assert server.agenda.engine is None
    assert [server.round() for _ in range(10)] == [[]] * 10
    server.pages["/metrics"] = Engine.VLLM
    for _ in range(int(RARE_SECONDS)):
        server.round()
    assert server.agenda.engine is Engine.VLLM


def test_another_engine_in_the_same_place() -> None:
    server = Server(metrics=Engine.VLLM)
    server.round()
    server.pages = {"/metrics": Engine.TGI, "/info": Engine.TGI}
    assert server.round() == ["/metrics"]
    assert server.agenda.engine is Engine.TGI
    assert server.round() == ["/metrics", "/info"]
