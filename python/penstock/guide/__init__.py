"""The reference: pages that ``penstock guide TOPIC`` shows and the code cites.

A page's first line is ``# Name: what it is about``, which is its line in the list of topics. What its tables say of the
code is compared with the code by ``tests/unit/guide``.
"""
