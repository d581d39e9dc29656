#!/bin/sh
# Runs what the test sends, at the other end of the virtual serial port "commands".
# One line each way: `id script` and `id code stdout stderr`, everything but id and code in base64.
home=/run/kiosk-commands
mkdir -p $home

modprobe virtio_console
# What it finds comes a moment later.
until [ -e "$device" ]; do
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = commands ] && device=/dev/${port##*/}
  done
  [ -e "$device" ] || sleep 0.1
done
exec 3<>"$device"

# Whole lines, whoever else has something to say.
say() {
  flock $home/lock cat "$1" >&3
  rm -f "$1"
}

run() {
  here=$home/$1
  echo "$2" | base64 -d >"$here"
  bash "$here" </dev/null >"$here.out" 2>"$here.err" 3>&-
  echo "$1 $? $(base64 -w0 <"$here.out") $(base64 -w0 <"$here.err")" >"$here.answer"
  rm -f "$here" "$here.out" "$here.err"
  say "$here.answer"
}

# The boot before this one may have ended in the middle of a line.
printf '\nready %s\n' "$(cat /proc/sys/kernel/random/boot_id)" >$home/ready
say $home/ready
while :; do
  while read -r id script <&3; do
    run "$id" "$script" &
  done
  # The driver says that it is the end where nobody is at the other one, which is so for a moment only.
  sleep 0.1
done
