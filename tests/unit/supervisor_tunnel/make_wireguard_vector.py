#!/usr/bin/env python3
"""Writes wireguard_vector.h: one whole WireGuard conversation with fixed keys.

An implementation of its own, after the whitepaper (sections 5.4.2 to 5.4.7), on hashlib and
python3-cryptography; it shares nothing with the code that it checks.
Usage: make_wireguard_vector.py | clang-format > wireguard_vector.h
"""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def hash_(data):
    return hashlib.blake2s(data).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(count, key, data):
    secret = hmac.new(key, data, hashlib.blake2s).digest()
    outputs, last = [], b""
    for number in range(1, count + 1):
        last = hmac.new(secret, last + bytes([number]), hashlib.blake2s).digest()
        outputs.append(last)
    return outputs


def seal(key, counter, plain, data):
    return ChaCha20Poly1305(key).encrypt(struct.pack("<IQ", 0, counter), plain, data)


def public(private):
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private, other):
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(other))


def hchacha20(key, nonce):
    state = list(struct.unpack("<4I8I4I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, shift in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            mixed = state[z] ^ state[x]
            state[z] = (mixed << shift | mixed >> (32 - shift)) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return struct.pack("<8I", *state[:4], *state[12:])


def xseal(key, nonce, plain, data):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, data)


def fixed(label):
    return hashlib.sha256(b"icon tunnel vector: " + label).digest()


initiator_static, responder_static = fixed(b"initiator static"), fixed(b"responder static")
initiator_ephemeral, responder_ephemeral = fixed(b"initiator e"), fixed(b"responder e")
psk = fixed(b"preshared key")
timestamp = struct.pack(">QI", 0x400000000000000A + 1_700_000_000, 0x2A000000)
initiator_index, responder_index = 0x11223344, 0xA1B2C3D4
packet = bytes.fromhex("450000250001000040110000c0a80001c0a80002" "04d2162e00110000") + b"wireguard"
cookie_nonce = fixed(b"cookie nonce")[:24]
cookie = fixed(b"cookie")[:16]

S_i, S_r = public(initiator_static), public(responder_static)
E_i, E_r = public(initiator_ephemeral), public(responder_ephemeral)

# 5.4.2, first message
C = hash_(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
H = hash_(hash_(C + b"WireGuard v1 zx2c4 Jason@zx2c4.com") + S_r)
C, = kdf(1, C, E_i)
H = hash_(H + E_i)
C, k = kdf(2, C, dh(initiator_ephemeral, S_r))
sealed_static = seal(k, 0, S_i, H)
H = hash_(H + sealed_static)
C, k = kdf(2, C, dh(initiator_static, S_r))
sealed_timestamp = seal(k, 0, timestamp, H)
H = hash_(H + sealed_timestamp)
initiation = struct.pack("<II", 1, initiator_index) + E_i + sealed_static + sealed_timestamp
initiation_mac1 = mac(hash_(b"mac1----" + S_r), initiation)
initiation += initiation_mac1
initiation_with_cookie = initiation + mac(cookie, initiation)
initiation += bytes(16)

# 5.4.3, second message
C, = kdf(1, C, E_r)
H = hash_(H + E_r)
C, = kdf(1, C, dh(responder_ephemeral, E_i))
C, = kdf(1, C, dh(responder_ephemeral, S_i))
C, tau, k = kdf(3, C, psk)
H = hash_(H + tau)
sealed_nothing = seal(k, 0, b"", H)
response = struct.pack("<III", 2, responder_index, initiator_index) + E_r + sealed_nothing
response += mac(hash_(b"mac1----" + S_i), response) + bytes(16)

# 5.4.5 and 5.4.6, transport
initiator_key, responder_key = kdf(2, C, b"")
padded = packet + bytes(-len(packet) % 16)
transport = struct.pack("<IIQ", 4, responder_index, 0) + seal(initiator_key, 0, padded, b"")
keepalive = struct.pack("<IIQ", 4, initiator_index, 7) + seal(responder_key, 7, b"", b"")

# 5.4.7, cookie reply to the initiation
cookie_reply = struct.pack("<II", 3, initiator_index) + cookie_nonce
cookie_reply += xseal(hash_(b"cookie--" + S_r), cookie_nonce, cookie, initiation_mac1)

print("// Made by make_wireguard_vector.py; do not edit.\n#pragma once\n")
print("namespace icon::tunnel::wg::vector {\n")
for name in ("initiator_static", "responder_static", "initiator_ephemeral", "responder_ephemeral",
             "psk", "timestamp", "packet", "cookie", "initiation", "initiation_with_cookie",
             "response", "initiator_key", "responder_key", "transport", "keepalive",
             "cookie_reply"):
    text = globals()[name].hex()
    camel = "k" + "".join(word.capitalize() for word in name.split("_"))
    lines = [text[i:i + 88] for i in range(0, len(text), 88)]
    print(f"inline constexpr char {camel}[] =")
    print("\n".join(f'    "{line}"' for line in lines) + ";")
print("\n}  // namespace icon::tunnel::wg::vector")
