"""Real model servers that Penstock starts itself, for the demo and the tests."""
