import socket

echo = socket.socket(type=socket.SOCK_DGRAM)
echo.bind(("0.0.0.0", 9000))
while True:
    echo.sendto(*echo.recvfrom(2048))
