#!/bin/sh
# Makes the certificates in fixtures/tls: an authority, a server for 127.0.0.1, localhost and registry.test, and a client. They
# are for tests only and last for a hundred years; nothing has to be made again unless a name is added.
set -eu
cd "$(dirname "$0")/../fixtures/tls"
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
key ca.key
openssl req -new -x509 -sha256 -key ca.key -out ca.crt -days 36500 -subj '/CN=composefs-bridge test authority' -addext 'keyUsage=critical,keyCertSign,cRLSign'
sign() {
  key "$1.key"
  openssl req -new -sha256 -key "$1.key" -subj "/CN=$1" |
    openssl x509 -req -sha256 -CA ca.crt -CAkey ca.key -days 36500 -out "$1.crt" -extfile extensions.tmp 2>/dev/null
}
echo 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.test' >extensions.tmp
sign server
echo 'extendedKeyUsage=clientAuth' >extensions.tmp
sign client
rm extensions.tmp ca.key
