#!/usr/bin/env bash
# A Paddock device made of openssl and Mosquitto's clients, written from docs/protocol.md alone.
#
#   device.sh key    STATE                      makes the key on first use; prints the public JWK to register
#   device.sh report STATE DEVICE BROKER-URL CLOUD-KEYS.json
#       sends a routine report with mosquitto_pub, then one that asks with mosquitto_rr (one connection that
#       publishes and waits), verifies the answer, and prints its payload
#
# Exit codes: 0 recorded, 1 not (the last line on stderr says why).
set -euo pipefail

fail() { echo "$*" >&2; exit 1; }

# --- bytes and texts -------------------------------------------------------------------------------------------
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
unbase64url() { # $1 text
  local text=$1
  while (( ${#text} % 4 )); do text+='='; done
  printf %s "$text" | tr -- '-_' '+/' | openssl base64 -d -A
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { # $1 digits
  # shellcheck disable=SC2001
  printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"
}
field() { # $1 JSON without nesting of that name, $2 name: the value of a text field
  sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" <<<"$1"
}

# --- the key ---------------------------------------------------------------------------------------------------
make_key() { # $1 file
  [[ -f $1 ]] && return
  (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
}
# The last 64 bytes of a P-256 public key in DER are x and y.
coordinate() { # $1 key file, $2 first byte: 1 for x, 33 for y
  openssl ec -in "$1" -pubout -outform DER 2>/dev/null | tail -c 64 | tail -c +"$2" | head -c 32 | base64url
}
# RFC 7638 for an EC key: these four members in this order.
jwk() { printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$1" "$2"; }
thumbprint() { jwk "$1" "$2" | openssl dgst -sha256 -binary | base64url; }

# --- the envelope ----------------------------------------------------------------------------------------------
# openssl writes a signature as SEQUENCE { INTEGER r, INTEGER s }; a JWS wants r and s, 32 bytes each.
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
seal() { # $1 key file, $2 payload
  local input
  input=$(printf '{"alg":"ES256","kid":"%s","typ":"paddock-report"}' "$kid" | base64url).$(printf %s "$2" | base64url)
  printf '%s.%s' "$input" "$(printf %s "$input" | openssl dgst -sha256 -sign "$1" | der_to_raw | base64url)"
}

# --- the report ------------------------------------------------------------------------------------------------
# The machine's uptime stands in for CLOCK_MONOTONIC_RAW, which a shell cannot read.
uptime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }
report() { # $1 sequence, $2 trigger, $3 more fields
  printf '{"v":1,"device":"%s","incarnation":"%s","start":%d,"sequence":%d,"boot":{"id":"%s"},"uptimeMs":%d,' \
    "$device" "$incarnation" "$start" "$1" "$(< /proc/sys/kernel/random/boot_id)" "$(uptime_ms)"
  printf '"trigger":{"kind":"%s"},"nextWithinMs":360000,%s"readings":{' "$2" "$3"
  printf '"load":{"value":%s,"ageMs":0},"door":{"value":true,"ageMs":0,"changes":0,"changedAgoMs":null,"heldForMs":0}}}' \
    "$(cut -d' ' -f1 /proc/loadavg)"
}

# --- the answer ------------------------------------------------------------------------------------------------
# Writes the public key of the cloud that the kid names, as DER.
cloud_key() { # $1 JWK Set file, $2 kid
  local xs ys index
  mapfile -t xs < <(grep -o '"x" *: *"[^"]*"' "$1" | cut -d'"' -f4)
  mapfile -t ys < <(grep -o '"y" *: *"[^"]*"' "$1" | cut -d'"' -f4)
  for index in "${!xs[@]}"; do
    [[ $(thumbprint "${xs[index]}" "${ys[index]}") == "$2"* ]] || continue
    # SubjectPublicKeyInfo of a P-256 key (RFC 5480), then the point.
    unhex "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    unbase64url "${xs[index]}"
    unbase64url "${ys[index]}"
    return
  done
  fail "no key of the cloud is called $2"
}
verify() { # $1 envelope, $2 JWK Set file: prints the payload
  local head body signature header
  IFS=. read -r head body signature <<<"$1"
  header=$(unbase64url "$head")
  [[ $(field "$header" alg) == ES256 ]] || fail "not ES256: $header"
  [[ $(field "$header" typ) == paddock-answer ]] || fail "not an answer: $header"
  cloud_key "$2" "$(field "$header" kid)" >"$scratch/cloud.der"
  raw_to_der "$(unbase64url "$signature" | hex)" >"$scratch/signature.der"
  printf %s "$head.$body" | openssl dgst -sha256 -verify "$scratch/cloud.der" -keyform DER \
    -signature "$scratch/signature.der" >/dev/null || fail 'the signature of the answer is wrong'
  unbase64url "$body"
}

command=${1:-} state=${2:-}
[[ -n $state ]] || fail 'usage: device.sh key STATE | device.sh report STATE DEVICE BROKER-URL CLOUD-KEYS.json'
mkdir -p "$state"
key=$state/key.pem
make_key "$key"
x=$(coordinate "$key" 1) y=$(coordinate "$key" 33)
kid=$(thumbprint "$x" "$y")
kid=${kid:0:12}

case $command in
  key)
    jwk "$x" "$y"
    ;;
  report)
    device=$3 broker=$4 keys=$5
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    [[ -f $state/incarnation ]] || openssl rand 8 | base64url >"$state/incarnation"
    incarnation=$(< "$state/incarnation")
    start=$(( $(cat "$state/start" 2>/dev/null || echo 0) + 1 ))
    # Durable before the first report of this start.
    echo "$start" >"$state/start" && sync "$state/start"

    mosquitto_pub -V mqttv311 -i "$device" -q 1 -L "$broker/paddock/v1/$device/report" \
      -m "$(seal "$key" "$(report 0 boot '')")"

    nonce=$(openssl rand 8 | base64url)
    asking=$(seal "$key" "$(report 1 connect "\"ask\":\"$nonce\",")")
    answer=$(mosquitto_rr -V mqttv311 -i "$device" -q 1 -W 20 -L "$broker/paddock/v1/$device/report" \
      -e "paddock/v1/$device/answer" -m "$asking") || fail 'no answer came'
    payload=$(verify "$answer" "$keys")

    # The answer must be to this report of this device, and must say that both reports are recorded.
    digest=$(printf %s "${asking%.*}" | openssl dgst -sha256 -binary | base64url)
    [[ $(field "$payload" device) == "$device" ]] || fail "an answer to another device: $payload"
    [[ $(field "$payload" nonce) == "$nonce" ]] || fail "an answer to another question: $payload"
    [[ $payload == *"\"digest\":\"$digest\""* ]] || fail "an answer to another report: $payload"
    [[ $payload == *'"recorded":[[0,1]]'* ]] || fail "not recorded: $payload"
    printf '%s\n' "$payload"
    ;;
  *)
    fail "unknown command: $command"
    ;;
esac
