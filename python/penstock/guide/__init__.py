"""The reference: pages that ``penstock guide TOPIC`` shows and the code cites."""
