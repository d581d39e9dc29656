#!/usr/bin/env bash
# How a Paddock device enrols, made of openssl and curl, written from docs/protocol.md alone.
#
#   enrol.sh STATE CLAIM-FILE                                         by claim: it holds all that is to be believed
#   enrol.sh STATE - URL AUTHORITY-FINGERPRINT ROOT-JWK-FILE SERIAL   without one: by list, or a human lets it in
#
# STATE keeps key.pem and tls.pem; list and authorities.pem, by which the cloud is believed; and once it is let in
# cert.pem, device and mqtt-url: all that device.sh needs. The last line is the status.
set -euo pipefail
# shellcheck source=jose.sh
source "$(dirname "$0")/jose.sh"

state=$1 claim_file=$2
mkdir -p "$state"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
make_key "$state/key.pem"
make_key "$state/tls.pem"

if [[ $claim_file == - ]]; then
  url=$3 fingerprint=$4 root=$(keys_in "$(< "$5")") said="\"serialNumber\":\"$6\","
else
  claim=$(< "$claim_file")
  inside=$(payload "$claim")
  url=$(field "$inside" url) fingerprint=$(field "$inside" ca) root=$(keys_in "$(object "$inside" root)")
  said="\"claim\":\"$claim\","
fi

# --- whom to believe -------------------------------------------------------------------------------------------
# At first the authority with that fingerprint, wherever its certificate comes from; later those of the kept list.
if [[ ! -f $state/list ]]; then
  curl -sS --insecure --max-time 20 -o "$scratch/ca.pem" "$url/enrol/v1/ca"
  [[ $(openssl x509 -in "$scratch/ca.pem" -outform DER | sha256) == "$fingerprint" ]] || fail 'this is another authority'
fi

# A list is believed for its seal, whoever brings it; nothing is told to the server before it is believed.
list_of() { curl -sS --insecure --fail --max-time 20 "$url/enrol/v1/keys${1:+/$1}"; } # $1 version; none: the newest
version_of() { number "$(payload "$1")" version; }
epoch_of() { number "$(payload "$1")" epoch; }
sealed_by() { verify "$1" paddock-keys "$2" >/dev/null; } # $1 list, $2 root as "x y"
# The newest list that a root sealed: later ones are sealed by roots that the lists before them name.
newest_of() { # $1 root as "x y"
  local list=$newest version pinned
  pinned=$(thumbprint "${1% *}" "${1#* }")
  for (( version = $(version_of "$newest") - 1; version > 0; version-- )); do
    [[ $pinned == "$(kid "$list")"* ]] && break
    list=$(list_of "$version")
  done
  sealed_by "$list" "$1"
  printf %s "$list"
}
walk() {
  local newest list next last epoch
  newest=$(list_of '') && last=$(version_of "$newest") epoch=$(epoch_of "$newest")
  if [[ -f $state/list ]]; then
    list=$(< "$state/list")
    (( epoch > $(epoch_of "$list") || epoch == $(epoch_of "$list") && last >= $(version_of "$list") )) ||
      fail 'an older list than was taken before'
    # After a restore the cloud may have given the version of this one to another list.
    if (( epoch > $(epoch_of "$list") )) && [[ $(list_of "$(version_of "$list")" 2>/dev/null) != "$list" ]]; then
      next=$(newest_of "$(keys_in "$(object "$(payload "$list")" root)")")
      (( $(epoch_of "$next") > $(epoch_of "$list") )) || fail 'an older list than was taken before'
      list=$next
    fi
  else
    list=$(newest_of "$root")
  fi
  while (( $(version_of "$list") < last )); do
    next=$(list_of $(( $(version_of "$list") + 1 )))
    sealed_by "$next" "$(keys_in "$(object "$(payload "$list")" root)")"
    (( $(version_of "$next") == $(version_of "$list") + 1 && $(epoch_of "$next") >= $(epoch_of "$list") )) ||
      fail 'a list was left out'
    list=$next
  done
  [[ $(digest "$list") == "$(digest "$newest")" ]] || fail 'two lists of one version'
  printf %s "$list" >"$state/list"
}
walk
named=$(payload "$(< "$state/list")")
for der in $(list "$named" authorities | tr -d '[]"' | tr ',' ' '); do
  unbase64url "$der" | openssl x509 -inform DER
done >"$state/authorities.pem"
online=$(keys_in "$(list "$named" keys)")

# --- the request -----------------------------------------------------------------------------------------------
ask() { curl -sS --max-time 20 --cacert "$state/authorities.pem" -X POST "$@"; }
asked_at=$(uptime_ms)
nonce=$(field "$(ask "$url/enrol/v1/nonces")" nonce)
read -r x y <<<"$(public "$state/key.pem")"
own=$(thumbprint "$x" "$y")
csr=$(openssl req -new -key "$state/tls.pem" -subj /CN=device -outform DER | base64url)
request=$(seal "$state/key.pem" "${own:0:12}" paddock-enrolment "$(printf '{"v":1,"jwk":%s,"nonce":"%s",%s"facts":{"made":"of openssl"},"csr":"%s"}' \
  "$(jwk "$x" "$y")" "$nonce" "$said" "$csr")")
answer=$(ask -H 'content-type: application/jose' --data-binary "$request" "$url/enrol/v1/requests")
[[ $answer == *.*.* && $answer != '{'* ]] || fail "$answer"

# --- the answer ------------------------------------------------------------------------------------------------
# Signed by a key of the newest list, bound to this nonce and to this request, and in time.
said=$(verify "$answer" paddock-enrolled "$online")
[[ $(field "$said" nonce) == "$nonce" ]] || fail 'an answer to another request'
[[ $(field "$said" digest) == "$(digest "$request")" ]] || fail 'another digest'
in_time "$said" "$asked_at"

status=$(field "$said" status)
if [[ $status == accepted ]]; then
  unbase64url "$(member "$said" chain '\["([^"]*)"')" | openssl x509 -inform DER -out "$scratch/cert.pem"
  openssl verify -purpose sslclient -CAfile "$state/authorities.pem" "$scratch/cert.pem" >/dev/null ||
    fail 'a certificate of another'
  [[ $(openssl x509 -in "$scratch/cert.pem" -noout -pubkey) == "$(openssl ec -in "$state/tls.pem" -pubout 2>/dev/null)" ]] ||
    fail 'a certificate of another key'
  mv "$scratch/cert.pem" "$state/cert.pem"
  field "$said" device >"$state/device"
  field "$said" mqttUrl >"$state/mqtt-url"
fi
printf 'fingerprint %s\n%s\n' "$own" "$status"
