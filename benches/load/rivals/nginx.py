"""nginx, as it is put in front of model servers: one worker, no buffering, connections to the backend kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from peer import Peer

CONFIG = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{ worker_connections 16384; }}
http {{
  access_log {folder}/nginx.log combined buffer=64k flush=1s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  proxy_buffer_size 64k;
  proxy_buffers 8 64k;
  proxy_busy_buffers_size 128k;
  upstream stub {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://stub;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def command(_: Path, folder: Path, port: int, backend: int) -> list[str]:
    """Return nginx's command."""
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, backend=backend))
    return ["nginx", "-e", str(folder / "nginx.err"), "-c", str(config)]


PEER = Peer("nginx", "Debian's", command, missing=lambda _: None if shutil.which("nginx") else "nginx not found")
