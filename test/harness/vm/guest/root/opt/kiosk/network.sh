#!/bin/sh
# QEMU's user network: 10.0.2.2 is the loopback of the machine that the test runs on.
modprobe virtio_net
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
