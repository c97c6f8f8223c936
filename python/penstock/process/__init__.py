"""What is the operating system's: forks, signals, inherited sockets, sealed memory, limits, hung and dead processes."""
