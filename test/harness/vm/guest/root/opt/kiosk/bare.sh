#!/bin/sh
# In place of systemd where a test needs only the kernel: as little as commands and devices need.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t pstore pstore /sys/fs/pstore
hostname kiosk
modprobe -a virtio_console virtio_net configfs
mount -t configfs configfs /sys/kernel/config
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
exec /opt/kiosk/serve.sh
