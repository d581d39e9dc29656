#!/bin/sh
# In place of systemd where a test needs only the kernel: as little as commands and devices need.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t pstore pstore /sys/fs/pstore
hostname kiosk
modprobe configfs
mount -t configfs configfs /sys/kernel/config
/opt/kiosk/network.sh
exec /opt/kiosk/serve.sh
