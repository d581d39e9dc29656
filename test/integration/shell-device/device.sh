#!/usr/bin/env bash
# A Paddock device made of openssl and Mosquitto's clients, written from docs/protocol.md alone.
#
#   device.sh key    STATE                      makes the key on first use; prints the public JWK to register
#   device.sh report STATE DEVICE BROKER-URL CLOUD-KEYS.json
#       sends a routine report with mosquitto_pub, then one that asks with mosquitto_rr (one connection that
#       publishes and waits), verifies the answer, and prints its payload
#   device.sh report STATE                      the same by what enrol.sh has put there: over mutual TLS, by the
#       certificate, believing the keys of the newest list
#
# Exit codes: 0 recorded, 1 not (the last line on stderr says why).
set -euo pipefail
# shellcheck source=jose.sh
source "$(dirname "$0")/jose.sh"

report() { # $1 sequence, $2 trigger, $3 more fields
  printf '{"v":1,"device":"%s","incarnation":"%s","start":%d,"sequence":%d,"boot":{"id":"%s"},"uptimeMs":%d,' \
    "$device" "$incarnation" "$start" "$1" "$(< /proc/sys/kernel/random/boot_id)" "$(uptime_ms)"
  printf '"trigger":{"kind":"%s"},"nextWithinMs":360000,%s"readings":{' "$2" "$3"
  printf '"load":{"value":%s,"ageMs":0},"door":{"value":true,"ageMs":0,"changes":0,"changedAgoMs":null,"heldForMs":0}}}' \
    "$(cut -d' ' -f1 /proc/loadavg)"
}

command=${1:-} state=${2:-}
[[ -n $state ]] || fail 'usage: device.sh key STATE | device.sh report STATE [DEVICE BROKER-URL CLOUD-KEYS.json]'
mkdir -p "$state"
key=$state/key.pem
make_key "$key"
read -r x y <<<"$(public "$key")"

case $command in
  key)
    jwk "$x" "$y"
    ;;
  report)
    if [[ $# == 2 ]]; then
      device=$(< "$state/device") broker=$(< "$state/mqtt-url")
      named=$(payload "$(< "$state/list")")
      keys=$(keys_in "$(list "$named" keys)") epoch=$(number "$named" epoch)
      tls=(--cafile "$state/authorities.pem" --cert "$state/cert.pem" --key "$state/tls.pem")
    else
      device=$3 broker=$4 keys=$(keys_in "$(< "$5")") epoch=0 tls=()
    fi
    kid=$(thumbprint "$x" "$y") && kid=${kid:0:12}
    [[ -f $state/incarnation ]] || openssl rand 8 | base64url >"$state/incarnation"
    incarnation=$(< "$state/incarnation")
    start=$(( $(cat "$state/start" 2>/dev/null || echo 0) + 1 ))
    # Durable before the first report of this start.
    echo "$start" >"$state/start" && sync "$state/start"

    mosquitto_pub -V mqttv311 -i "$device" -q 1 "${tls[@]}" -L "$broker/paddock/v1/$device/report" \
      -m "$(seal "$key" "$kid" paddock-report "$(report 0 boot '')")"

    nonce=$(openssl rand 8 | base64url)
    asking=$(seal "$key" "$kid" paddock-report "$(report 1 connect "\"ask\":\"$nonce\",")")
    asked_at=$(uptime_ms)
    answer=$(mosquitto_rr -V mqttv311 -i "$device" -q 1 -W 20 "${tls[@]}" -L "$broker/paddock/v1/$device/report" \
      -e "paddock/v1/$device/answer" -m "$asking") || fail 'no answer came'
    said=$(verify "$answer" paddock-answer "$keys")

    # The answer must be to this report of this device, in time, and must say that both reports are recorded.
    [[ $(field "$said" device) == "$device" ]] || fail "an answer to another device: $said"
    [[ $(field "$said" nonce) == "$nonce" ]] || fail "an answer to another question: $said"
    [[ $said == *"\"digest\":\"$(digest "$asking")\""* ]] || fail "an answer to another report: $said"
    (( $(number "$said" epoch) >= epoch )) || fail "an answer of an epoch that is over: $said"
    in_time "$said" "$asked_at"
    [[ $said == *'"recorded":[[0,1]]'* ]] || fail "not recorded: $said"
    printf '%s\n' "$said"
    ;;
  *)
    fail "unknown command: $command"
    ;;
esac
