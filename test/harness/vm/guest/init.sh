#!/bin/busybox sh
# The first program of the virtual kiosk: puts its root together and hands over to it.
# The base is read only and shared; what the kiosk writes goes to a disk of its own.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /base /disk /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/$module"; done </boot-modules

for word in $(cat /proc/cmdline); do
  case $word in kiosk.init=*) init=${word#*=} ;; esac
done

mount -t ext4 -o ro /dev/vda /base
mount -t ext4 /dev/vdb /disk
mkdir -p /disk/upper /disk/work
mount -t overlay -o lowerdir=/base,upperdir=/disk/upper,workdir=/disk/work overlay /root
mount --move /proc /root/proc
mount --move /sys /root/sys
mount --move /dev /root/dev
exec switch_root /root "${init:-/sbin/init}"
