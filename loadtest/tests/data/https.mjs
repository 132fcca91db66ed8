// A page over https, on Node's own server: the arguments are the certificate and its key.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

const [cert, key] = process.argv.slice(2, 4).map((file) => readFileSync(file));
const server = createServer({ cert, key }, (request, response) => {
  response.writeHead(request.url === '/api/page' ? 200 : 404).end('a page');
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
