// Echoes each message behind its number on that connection: state that must travel.
const { WebSocketServer } = require('ws');
new WebSocketServer({ port: 8081, perMessageDeflate: false }).on('connection', (socket) => {
  let count = 0;
  socket.on('message', (text) => socket.send(`${++count} ${text}`));
});
