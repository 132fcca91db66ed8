"""A small shop on FastAPI and Postgres, with a cache that can be switched off: something to measure that is not ours.

GET /health · GET /items/{id} -> {id, name, sold} · POST /orders {item, count} -> {id}
"""

import os
import time
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

CACHED_S = 60.0 if os.environ.get("CACHE", "on") == "on" else 0.0
# Orders are summed over at each request: what the cache is there for.
ITEM = """
SELECT i.id, i.name, coalesce(sum(o.count), 0)::int AS sold
FROM items i LEFT JOIN orders o ON o.item = i.id
WHERE i.id = $1 GROUP BY i.id, i.name
"""


class Order(BaseModel):
    item: int
    count: int


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=8)
    app.state.cache = {}
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"ready": True}


@app.get("/items/{item}")
async def read_item(item: int):
    until, row = app.state.cache.get(item, (0.0, None))
    if until < time.monotonic():
        row = await app.state.pool.fetchrow(ITEM, item)
        if row is None:
            raise HTTPException(404, "no such item")
        row = dict(row)
        if CACHED_S:
            app.state.cache[item] = (time.monotonic() + CACHED_S, row)
    return row


@app.post("/orders", status_code=201)
async def order(new: Order):
    insert = "INSERT INTO orders (item, count) VALUES ($1, $2) RETURNING id"
    made = await app.state.pool.fetchval(insert, new.item, new.count)
    app.state.cache.pop(new.item, None)
    return {"id": made}
