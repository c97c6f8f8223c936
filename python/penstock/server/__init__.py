"""The data plane's process: listeners, client connections, routes, drain."""
