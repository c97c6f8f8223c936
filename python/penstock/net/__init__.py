"""What the data plane, the admin plane and upstream connections share: sockets, HTTP messages, private API."""
