// A small shop on Node's own http module: something to measure that the harness knows nothing of.
//
//   node server.mjs            prints "listening on http://127.0.0.1:PORT"; PORT may be given as a variable
//
// POST /login {user, password} -> {token} · GET /items · POST /carts {item} -> {id} · GET /carts/{id}, PUT
// /carts/{id} {count}, both with the cart's version in etag-number · GET /metrics

import http from "node:http";

const passwords = new Map([["ada", "engine"], ["grace", "compiler"]]);
const items = ["apple", "pear", "plum"];
const carts = new Map();
const counts = new Map();

const readJson = async (request) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
};

const send = (response, status, body, headers = {}) => {
  const text = JSON.stringify(body);
  const length = Buffer.byteLength(text);
  response.writeHead(status, { "content-type": "application/json", "content-length": length, ...headers });
  response.end(text);
};

const cartRoute = async (request, response, id) => {
  const cart = carts.get(id);
  if (!cart) return send(response, 404, { error: "no such cart" });
  if (request.method === "PUT") {
    cart.count = (await readJson(request)).count;
    cart.version += 1;
  }
  send(response, 200, { id, ...cart }, { "etag-number": String(cart.version) });
};

const handle = async (request, response) => {
  const route = `${request.method} ${request.url.replace(/\d+/, "{id}")}`;
  counts.set(route, (counts.get(route) ?? 0) + 1);
  if (route === "POST /login") {
    const { user, password } = await readJson(request);
    const known = passwords.get(user) === password;
    return known ? send(response, 200, { token: `token-of-${user}` }) : send(response, 401, { error: "who are you?" });
  }
  if (request.url === "/metrics") {
    const lines = [...counts].map(([name, count]) => `shop_requests_total{route="${name}"} ${count}`);
    response.writeHead(200, { "content-type": "text/plain" });
    return response.end(`# TYPE shop_requests_total counter\n${lines.join("\n")}\nshop_carts ${carts.size}\n`);
  }
  if (!request.headers.authorization?.startsWith("Bearer token-of-")) {
    return send(response, 401, { error: "log in first" });
  }
  if (route === "GET /items") return send(response, 200, { items });
  if (route === "POST /carts") {
    const { item } = await readJson(request);
    const id = carts.size + 1;
    carts.set(id, { item, count: 1, version: 1 });
    return send(response, 201, { id, item });
  }
  const cart = request.url.match(/^\/carts\/(\d+)$/);
  return cart ? cartRoute(request, response, Number(cart[1])) : send(response, 404, { error: "no such page" });
};

const server = http.createServer((request, response) => {
  handle(request, response).catch((error) => send(response, 400, { error: error.message }));
});
const port = Number(process.env.PORT ?? 0);
server.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
