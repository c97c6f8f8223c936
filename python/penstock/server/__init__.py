"""The data plane's side of clients: connections, framing, routes, limits and time-outs."""
