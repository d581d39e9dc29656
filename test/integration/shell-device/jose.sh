# shellcheck shell=bash
# What every part of a device in a shell needs of JWS and JWK: keys of P-256, signatures of ES256, by openssl.

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
sha256() { openssl dgst -sha256 -binary | base64url; }
field() { # $1 JSON without nesting of that name, $2 name: the value of a text field
  sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" <<<"$1"
}
number() { sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" <<<"$1"; }
flat() { sed -n "s/.*\"$2\":\([{[][^]}]*[]}]\).*/\1/p" <<<"$1"; } # an object, or a list of texts, with nothing inside
ms_of() { date -d "$1" +%s%3N; }
# The machine's uptime stands in for CLOCK_MONOTONIC_RAW, which a shell cannot read.
uptime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }

# --- keys ------------------------------------------------------------------------------------------------------
make_key() { # $1 file
  [[ -f $1 ]] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
}
# The last 64 bytes of a P-256 public key in DER are x and y.
coordinate() { # $1 key file, $2 first byte: 1 for x, 33 for y
  openssl ec -in "$1" -pubout -outform DER 2>/dev/null | tail -c 64 | tail -c +"$2" | head -c 32 | base64url
}
# RFC 7638 for an EC key: these four members in this order.
jwk() { printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$1" "$2"; }
thumbprint() { jwk "$1" "$2" | sha256; }
# The "x y" of every EC key in a text, one a line.
keys_in() {
  local xs ys index
  mapfile -t xs < <(grep -o '"x" *: *"[^"]*"' <<<"$1" | cut -d'"' -f4)
  mapfile -t ys < <(grep -o '"y" *: *"[^"]*"' <<<"$1" | cut -d'"' -f4)
  for index in "${!xs[@]}"; do echo "${xs[index]} ${ys[index]}"; done
}

# --- envelopes -------------------------------------------------------------------------------------------------
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
seal() { # $1 key file, $2 typ, $3 payload
  local kid input
  kid=$(thumbprint "$(coordinate "$1" 1)" "$(coordinate "$1" 33)")
  input=$(printf '{"alg":"ES256","kid":"%s","typ":"%s"}' "${kid:0:12}" "$2" | base64url).$(printf %s "$3" | base64url)
  printf '%s.%s' "$input" "$(printf %s "$input" | openssl dgst -sha256 -sign "$1" | der_to_raw | base64url)"
}
digest() { printf %s "${1%.*}" | sha256; } # $1 envelope
payload() { unbase64url "$(cut -d. -f2 <<<"$1")"; } # $1 envelope: not verified
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
