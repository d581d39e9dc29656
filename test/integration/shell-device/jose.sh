# shellcheck shell=bash
# What every part of a device in a shell needs of JWS and JWK: keys of P-256, signatures of ES256, by openssl.

fail() { echo "$*" >&2; exit 1; }

# --- bytes and texts -------------------------------------------------------------------------------------------
base64url() {
  local text
  text=$(openssl base64 -A)
  text=${text//+/-} text=${text//\//_}
  printf %s "${text//=/}"
}
unbase64url() { # $1 text
  local text=${1//-/+}
  text=${text//_//}
  while (( ${#text} % 4 )); do text+='='; done
  openssl base64 -d -A <<<"$text"
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { # $1 digits
  local digits=$1 text=
  while [[ -n $digits ]]; do text+="\\x${digits:0:2}" digits=${digits:2}; done
  printf %b "$text"
}
sha256() { openssl dgst -sha256 -binary | base64url; }
# The first member of that name in a JSON text, as the expression says.
member() { if [[ $1 =~ \"$2\":$3 ]]; then printf %s "${BASH_REMATCH[1]}"; fi; }
field() { member "$1" "$2" '"([^"]*)"'; }
number() { member "$1" "$2" '([0-9]+)'; }
object() { member "$1" "$2" '(\{[^}]*\})'; } # with no other inside
list() { member "$1" "$2" '(\[[^]]*\])'; } # the same
ms_of() { date -d "$1" +%s%3N; }
# The machine's uptime stands in for CLOCK_MONOTONIC_RAW, which a shell cannot read.
uptime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }

# --- keys ------------------------------------------------------------------------------------------------------
make_key() { # $1 file
  [[ -f $1 ]] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
}
# The last 64 bytes of a P-256 public key in DER are x and y.
public() { # $1 key file: "x y"
  local point
  point=$(openssl ec -in "$1" -pubout -outform DER 2>/dev/null | tail -c 64 | hex)
  printf '%s %s' "$(unhex "${point:0:64}" | base64url)" "$(unhex "${point:64}" | base64url)"
}
# RFC 7638 for an EC key: these four members in this order.
jwk() { printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$1" "$2"; }
thumbprint() { jwk "$1" "$2" | sha256; }
# The "x y" of every EC key in a text, one a line.
keys_in() {
  local text=$1 one
  while [[ $text =~ \{[^{}]*\} ]]; do
    one=${BASH_REMATCH[0]} text=${text#*"${BASH_REMATCH[0]}"}
    one=${one//\" : \"/\":\"} one=${one//\": \"/\":\"}
    echo "$(field "$one" x) $(field "$one" y)"
  done
}

# --- envelopes -------------------------------------------------------------------------------------------------
# openssl writes a signature as SEQUENCE { INTEGER r, INTEGER s }; a JWS wants r and s, 32 bytes each.
der_to_raw() {
  local line zeros raw=
  printf -v zeros '%064d' 0
  while read -r line; do
    [[ $line =~ INTEGER\ *:([0-9A-F]+) ]] || continue
    line=$zeros${BASH_REMATCH[1]}
    raw+=${line: -64}
  done < <(openssl asn1parse -inform DER)
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
seal() { # $1 key file, $2 its kid, $3 typ, $4 payload
  local input
  input=$(printf '{"alg":"ES256","kid":"%s","typ":"%s"}' "$2" "$3" | base64url).$(printf %s "$4" | base64url)
  printf '%s.%s' "$input" "$(printf %s "$input" | openssl dgst -sha256 -sign "$1" | der_to_raw | base64url)"
}
digest() { printf %s "${1%.*}" | sha256; } # $1 envelope
payload() { # $1 envelope: not verified
  local body=${1#*.}
  unbase64url "${body%.*}"
}
kid() { field "$(unbase64url "${1%%.*}")" kid; } # $1 envelope
verify() { # $1 envelope, $2 typ, $3 keys as "x y" lines: prints the payload
  local head body signature header x y scratch found=
  IFS=. read -r head body signature <<<"$1"
  header=$(unbase64url "$head")
  [[ $(field "$header" alg) == ES256 ]] || fail "not ES256: $header"
  [[ $(field "$header" typ) == "$2" ]] || fail "not a $2: $header"
  while read -r x y; do
    [[ -n $x && $(thumbprint "$x" "$y") == "$(field "$header" kid)"* ]] && found="$x $y"
  done <<<"$3"
  [[ -n $found ]] || fail "no key of the cloud is called $(field "$header" kid)"
  read -r x y <<<"$found"
  scratch=$(mktemp -d)
  # SubjectPublicKeyInfo of a P-256 key (RFC 5480), then the point.
  { unhex 3059301306072a8648ce3d020106082a8648ce3d03010703420004; unbase64url "$x"; unbase64url "$y"; } >"$scratch/key"
  raw_to_der "$(unbase64url "$signature" | hex)" >"$scratch/signature"
  printf %s "$head.$body" | openssl dgst -sha256 -verify "$scratch/key" -keyform DER \
    -signature "$scratch/signature" >/dev/null || { rm -rf "$scratch"; fail "the signature of the $2 is wrong"; }
  rm -rf "$scratch"
  unbase64url "$body"
}
in_time() { # $1 payload of an answer, $2 uptime at which it was asked for: whatever any clock says
  local span
  span=$(( $(ms_of "$(field "$1" expiresAt)") - $(ms_of "$(field "$1" sentAt)") ))
  (( $(uptime_ms) - $2 <= span )) || fail 'the answer has expired'
}
