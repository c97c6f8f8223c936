"""What holds for all sockets, whoever is at the other end."""
