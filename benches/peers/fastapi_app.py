"""The cached driver route as the plan's samples write it: FastAPI, redis-py, a decorator that keeps JSON under a hashed key.

Where the sample could not work it is mended, in the rival's favour: its key held the database session, whose text differs at
each request, so that nothing would ever be found; this route takes none. Every driver has the body in PEER_BODY_FILE, and no
database is behind it, because only hits are measured. Tokens are checked as the service does (HS256, role).
"""

import hashlib
import json
import os
from functools import wraps

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import Counter, Histogram
from redis import asyncio as aioredis

cache_hits = Counter("cache_hits_total", "Total cache hits", ["endpoint"])
cache_misses = Counter("cache_misses_total", "Total cache misses", ["endpoint"])
cache_latency = Histogram("cache_latency_seconds", "Cache operation latency")

app = FastAPI()
redis = aioredis.from_url(os.environ["REDIS_URL"], encoding="utf-8", decode_responses=True)
secret = os.environ["JWT_SECRET"]
bearer = HTTPBearer()
with open(os.environ["PEER_BODY_FILE"], encoding="utf-8") as file:
    driver = json.load(file)


def cache(ttl: int = 300, key_prefix: str = ""):
    def decorator(func):
        @wraps(func)
        async def wrapper(*args, **kwargs):
            inputs = f"{args}:{kwargs}"
            digest = hashlib.md5(inputs.encode()).hexdigest()
            key = f"{key_prefix}:{func.__name__}:{digest}"
            with cache_latency.time():
                cached = await redis.get(key)
            if cached:
                cache_hits.labels(func.__name__).inc()
                return json.loads(cached)
            cache_misses.labels(func.__name__).inc()
            result = await func(*args, **kwargs)
            await redis.setex(key, ttl, json.dumps(result))
            return result

        return wrapper

    return decorator


async def admin(credentials: HTTPAuthorizationCredentials = Depends(bearer)) -> str:
    try:
        claims = jwt.decode(credentials.credentials, secret, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if claims.get("role") != "admin":
        raise HTTPException(403)
    return claims["sub"]


@app.get("/admin/drivers/{driver_id}")
@cache(ttl=300, key_prefix="drivers")
async def get_driver(driver_id: int, user: str = Depends(admin)):
    return driver
