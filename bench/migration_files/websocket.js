// Echoes each message behind its number on that connection: state that must travel.
const { createHash } = require('crypto');
const { WebSocketServer } = require('ws');
let data = Buffer.alloc(0);
const server = new WebSocketServer({ port: 8081, perMessageDeflate: false });
server.on('listening', () => console.log('listening'));
server.on('connection', (socket) => {
  let count = 0;
  socket.on('message', (message) => {
    const text = message.toString();
    if (text.startsWith('fill ')) // data that only its memory holds
      data = createHash('shake256', { outputLength: 16 << 20 }).update(text.slice(5)).digest();
    if (text === 'digest') return socket.send(createHash('sha256').update(data).digest('hex'));
    socket.send(`${++count} ${text}`);
  });
});
