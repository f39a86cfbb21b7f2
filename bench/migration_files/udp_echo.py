import hashlib
import socket

echo = socket.socket(type=socket.SOCK_DGRAM)
echo.bind(("0.0.0.0", 9000))
print("listening", flush=True)
data = b""
while True:
    text, user = echo.recvfrom(2048)
    if text.startswith(b"fill "):  # data that only its memory holds
        data = hashlib.shake_256(text[5:]).digest(16 << 20)
    if text == b"digest":
        text = hashlib.sha256(data).hexdigest().encode()
    echo.sendto(text, user)
