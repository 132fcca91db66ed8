// Says what it was asked, on Node's own server: method, path, headers and body as JSON. Some paths do more.
import { createServer } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const long = 'content '.repeat(500);
let visitors = 0;

function answer(request, body) {
  const { method, url, headers } = request;
  const json = (more, own = {}) => [
    200,
    { 'content-type': 'application/json', ...own },
    JSON.stringify({ method, url, headers, body: body.toString('latin1'), ...more }),
  ];
  const redirect = /^\/redirect\/(\d+)$/.exec(url);
  if (redirect) {
    return redirect[1] === '0' ? json({}) : [302, { location: `/redirect/${redirect[1] - 1}` }, 'moved'];
  }
  switch (url) {
    case '/visit':
      visitors += 1;
      return json({}, { 'set-cookie': [`visitor=${visitors}; Path=/; HttpOnly`, 'shop=open; Path=/shop'] });
    case '/see-other':
      return [303, { location: '/landed' }, ''];
    case '/for-ever':
      return [302, { location: '/for-ever' }, ''];
    case '/form':
      return [200, { link: '</items?page=2>; rel="next"' }, '<input name="csrf" value="t0k en">'];
    case '/gzip':
      return [200, { 'content-encoding': 'gzip' }, gzipSync(long)];
    case '/br':
      return [200, { 'content-encoding': 'br' }, brotliCompressSync(long)];
    default:
      return json({});
  }
}

const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const [status, headers, body] = answer(request, Buffer.concat(parts));
  response.writeHead(status, headers).end(body);
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
