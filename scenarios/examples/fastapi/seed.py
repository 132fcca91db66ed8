"""Fills an empty database: a hundred items and ten thousand orders, the same ones each time."""

import asyncio
import os

import asyncpg

SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id serial PRIMARY KEY, item int NOT NULL REFERENCES items (id), count int NOT NULL);
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 100) n;
INSERT INTO orders (item, count) SELECT 1 + n % 100, 1 + n % 7 FROM generate_series(1, 10000) n;
ANALYZE;
"""


async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(SCHEMA)
    await connection.close()
    print("100 items, 10000 orders")


asyncio.run(main())
