#!/usr/bin/env bash
# How a Paddock device enrols, made of openssl and curl, written from docs/protocol.md alone.
#
#   enrol.sh STATE CLAIM-FILE                               by claim: address and authority are in it
#   enrol.sh STATE - URL AUTHORITY-FINGERPRINT SERIAL       without one: a human lets it in
#
# STATE keeps identity.pem, tls.pem, and cert.pem and device once it is let in. CLOUD_KEYS names the file with the
# cloud's online keys (a JWK Set): it stands for the walk of the lists of keys. The last line is the status.
set -euo pipefail

fail() { echo "$*" >&2; exit 1; }
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
unbase64url() { # $1 text
  local text=$1
  while (( ${#text} % 4 )); do text+='='; done
  printf %s "$text" | tr -- '-_' '+/' | openssl base64 -d -A
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
field() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" <<<"$1"; }
new_key() { [[ -f $1 ]] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1"); }
coordinate() { openssl ec -in "$1" -pubout -outform DER 2>/dev/null | tail -c 64 | tail -c +"$2" | head -c 32 | base64url; }
jwk() { printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$1" "$2"; }
thumbprint() { jwk "$1" "$2" | openssl dgst -sha256 -binary | base64url; }
der_to_raw() {
  local number raw=
  while read -r number; do
    number=$(printf '%64s' "$number" | tr ' ' 0)
    raw+=${number: -64}
  done < <(openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p')
  unhex "$raw"
}
raw_to_der() { # $1 r and s in hex
  openssl asn1parse -noout -out /dev/stdout -genconf /dev/stdin <<EOF
asn1=SEQUENCE:signature
[signature]
r=INTEGER:0x${1:0:64}
s=INTEGER:0x${1:64:64}
EOF
}

state=$1 claim_file=$2
mkdir -p "$state"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
new_key "$state/identity.pem"
new_key "$state/tls.pem"

if [[ $claim_file == - ]]; then
  url=$3 fingerprint=$4 said="\"serialNumber\":\"$5\","
else
  claim=$(< "$claim_file")
  inside=$(unbase64url "$(cut -d. -f2 <<<"$claim")")
  url=$(field "$inside" url) fingerprint=$(field "$inside" ca) said="\"claim\":\"$claim\","
fi

# The authority is believed for its fingerprint, wherever its certificate comes from; the server for its authority.
curl -sS --insecure --max-time 20 -o "$scratch/ca.pem" "$url/enrol/v1/ca"
[[ $(openssl x509 -in "$scratch/ca.pem" -outform DER | openssl dgst -sha256 -binary | base64url) == "$fingerprint" ]] ||
  fail 'this is another authority'
ask() { curl -sS --max-time 20 --cacert "$scratch/ca.pem" -X POST "$@"; }

nonce=$(field "$(ask "$url/enrol/v1/nonces")" nonce)
x=$(coordinate "$state/identity.pem" 1) y=$(coordinate "$state/identity.pem" 33)
kid=$(thumbprint "$x" "$y")
csr=$(openssl req -new -key "$state/tls.pem" -subj /CN=device -outform DER | base64url)
payload=$(printf '{"v":1,"jwk":%s,"nonce":"%s",%s"facts":{"made":"of openssl"},"csr":"%s"}' \
  "$(jwk "$x" "$y")" "$nonce" "$said" "$csr")
input=$(printf '{"alg":"ES256","kid":"%s","typ":"paddock-enrolment"}' "${kid:0:12}" | base64url).$(printf %s "$payload" | base64url)
request=$input.$(printf %s "$input" | openssl dgst -sha256 -sign "$state/identity.pem" | der_to_raw | base64url)
answer=$(ask -H 'content-type: application/jose' --data-binary "$request" "$url/enrol/v1/requests")
[[ $answer == *.*.* && $answer != '{'* ]] || fail "$answer"

# The answer: signed by the cloud's online key, bound to this nonce and to this request.
IFS=. read -r head body signature <<<"$answer"
header=$(unbase64url "$head")
[[ $(field "$header" typ) == paddock-enrolled ]] || fail "not an answer: $header"
online_x=$(grep -o '"x" *: *"[^"]*"' "$CLOUD_KEYS" | cut -d'"' -f4)
online_y=$(grep -o '"y" *: *"[^"]*"' "$CLOUD_KEYS" | cut -d'"' -f4)
[[ $(thumbprint "$online_x" "$online_y") == "$(field "$header" kid)"* ]] || fail 'signed by a key that is not known'
{ unhex 3059301306072a8648ce3d020106082a8648ce3d03010703420004; unbase64url "$online_x"; unbase64url "$online_y"; } >"$scratch/online.der"
raw_to_der "$(unbase64url "$signature" | hex)" >"$scratch/signature.der"
printf %s "$head.$body" | openssl dgst -sha256 -verify "$scratch/online.der" -keyform DER \
  -signature "$scratch/signature.der" >/dev/null || fail 'the signature of the answer is wrong'
said=$(unbase64url "$body")
[[ $(field "$said" nonce) == "$nonce" ]] || fail 'an answer to another request'
[[ $(field "$said" digest) == "$(printf %s "$input" | openssl dgst -sha256 -binary | base64url)" ]] || fail 'another digest'

status=$(field "$said" status)
if [[ $status == accepted ]]; then
  field "$said" device >"$state/device"
  leaf=$(sed -n 's/.*"chain":\["\([^"]*\)".*/\1/p' <<<"$said")
  unbase64url "$leaf" | openssl x509 -inform DER -out "$state/cert.pem"
  openssl verify -purpose sslclient -CAfile "$scratch/ca.pem" "$state/cert.pem" >/dev/null || fail 'a certificate of another'
fi
printf 'fingerprint %s\n%s\n' "$kid" "$status"
