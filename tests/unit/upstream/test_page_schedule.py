"""Which pages are asked, and when."""

from penstock.upstream.gauges import EngineFamily, Facts, Gauges, Reading
from penstock.upstream.page_schedule import MISSES_TO_RARE, RARE_SECONDS, PageSchedule


class Server:
    """A server that understands some paths, and a clock."""

    def __init__(self, **pages: EngineFamily | None) -> None:
        """Take paths, `/` written as `_`, and the engine that their pages show (None: none)."""
        self.pages = {"/" + name: engine for name, engine in pages.items()}
        self.schedule = PageSchedule()
        self.now = 0.0

    def round(self, own: int = 0, seconds: float = 1.0) -> list[str]:
        """Ask what is due, as the scraper does; return the paths."""
        asked = []
        for item in self.schedule.due(self.now, own):
            for at, path, _ in item.paths():
                asked.append(path)
                name = path.partition("?")[0].replace("/", "_").replace("_", "/", 1)
                if name in self.pages:
                    reading = Reading(Gauges(running=0), Facts(self.pages[name]))
                    self.schedule.understood(item, at, reading, self.now)
                    break
            else:
                self.schedule.missed(item, self.now)
        self.now += seconds
        return asked


WHO = ["/props", "/metrics", "/server_info", "/get_server_info", "/info"]


def test_vllm() -> None:
    server = Server(metrics=EngineFamily.VLLM, v1_models=None, version=None)
    assert server.round() == ["/props", "/metrics"]
    assert server.schedule.engine is EngineFamily.VLLM
    assert server.round() == ["/metrics", "/v1/models", "/version"]
    rounds = [server.round() for _ in range(120)]
    assert all("/metrics" in asked for asked in rounds)
    assert sum("/version" in asked for asked in rounds) == 120 / RARE_SECONDS


def test_sglang_with_everything() -> None:
    server = Server(
        metrics=EngineFamily.SGLANG, v1_loads=EngineFamily.SGLANG, server_info=EngineFamily.SGLANG, v1_models=None
    )
    assert server.round() == ["/props", "/metrics"]
    assert server.round() == ["/v1/loads?include=core", "/metrics", "/server_info", "/v1/models"]
    assert server.round() == ["/v1/loads?include=core", "/metrics"]


def test_an_older_sglang_without_metrics() -> None:
    server = Server(get_load=EngineFamily.SGLANG, get_server_info=EngineFamily.SGLANG)
    assert server.round() == ["/props", "/metrics", "/server_info", "/get_server_info"]
    assert server.schedule.engine is EngineFamily.SGLANG
    assert server.round() == [
        *("/v1/loads?include=core", "/get_load", "/metrics"),
        *("/server_info", "/get_server_info", "/v1/models"),
    ]
    assert server.round() == server.round() == ["/get_load", "/metrics"]
    assert server.round() == server.round() == ["/get_load"]
    assert server.schedule.engine is EngineFamily.SGLANG


def test_tgi() -> None:
    server = Server(metrics=EngineFamily.TGI, info=EngineFamily.TGI)
    assert server.round() == ["/props", "/metrics"]
    assert server.round() == ["/metrics", "/info"]
    assert server.round() == ["/metrics"]


def test_an_idle_llamacpp_is_left_asleep() -> None:
    server = Server(metrics=EngineFamily.LLAMACPP, props=EngineFamily.LLAMACPP, slots=EngineFamily.LLAMACPP)
    assert server.round() == ["/props"]
    assert {path for _ in range(300) for path in server.round(own=0)} == {"/props"}
    assert all("/metrics" in server.round(own=1) for _ in range(10))


def test_a_llamacpp_without_metrics() -> None:
    server = Server(props=EngineFamily.LLAMACPP, slots=EngineFamily.LLAMACPP)
    server.round(own=1)
    assert server.round(own=1) == ["/metrics", "/slots", "/props"]
    assert server.round(own=1) == ["/slots"]


def test_an_unknown_server_is_asked_rarely() -> None:
    server = Server()
    assert server.round() == WHO
    assert server.round() == server.round() == ["/metrics"]
    assert server.schedule.engine is None
    later = [asked for _ in range(600) if (asked := server.round())]
    assert sum(map(len, later)) <= 600 / RARE_SECONDS * (len(WHO) + MISSES_TO_RARE - 1)


def test_metrics_switched_on_later_are_found() -> None:
    server = Server()
    for _ in range(90):
        server.round()
    server.pages["/metrics"] = EngineFamily.VLLM
    for _ in range(int(RARE_SECONDS) + 1):
        server.round()
    assert server.schedule.engine is EngineFamily.VLLM


def test_metrics_that_go_are_asked_rarely_and_found_again() -> None:
    server = Server(metrics=EngineFamily.VLLM)
    for _ in range(10):
        server.round()
    del server.pages["/metrics"]
    for _ in range(MISSES_TO_RARE):
        assert "/metrics" in server.round()
    assert server.schedule.engine is None
    assert [server.round() for _ in range(10)] == [[]] * 10
    server.pages["/metrics"] = EngineFamily.VLLM
    for _ in range(int(RARE_SECONDS)):
        server.round()
    assert server.schedule.engine is EngineFamily.VLLM


def test_another_engine_in_the_same_place() -> None:
    server = Server(metrics=EngineFamily.VLLM)
    server.round()
    server.pages = {"/metrics": EngineFamily.TGI, "/info": EngineFamily.TGI}
    assert server.round() == ["/metrics"]
    assert server.schedule.engine is EngineFamily.TGI
    assert server.round() == ["/metrics", "/info"]
