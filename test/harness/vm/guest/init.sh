#!/bin/busybox sh
# The first program of the virtual kiosk: puts its root together and hands over to it.
# The base is read only and shared; what the kiosk writes goes to a disk of its own. What a slot has lies on the base.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /base /disk /slot /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/$module"; done </boot-modules

# The kernel writes its scheduler anew when a group gets a bound of processor time for the first time, as the agent's unit
# does. Where a second processor runs it meanwhile, software emulation may run for ever what stood there in between: so
# it is done here, before that one is there, for good.
mount -t cgroup2 none /sys/fs/cgroup
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/first
echo 100000 100000 >/sys/fs/cgroup/first/cpu.max
rmdir /sys/fs/cgroup/first
umount /sys/fs/cgroup
echo 1 >/sys/devices/system/cpu/cpu1/online

for word in $(cat /proc/cmdline); do
  case $word in
    kiosk.init=*) init=${word#*=} ;;
    rauc.slot=A) slot=/dev/vdc2 ;;
    rauc.slot=B) slot=/dev/vdc3 ;;
  esac
done

lower=/base
if [ -n "$slot" ]; then
  # The kernel gives up with its first program.
  mount -t squashfs -o ro "$slot" /slot || exit 1
  lower=/slot:/base
fi
mount -t ext4 -o ro /dev/vda /base
mount -t ext4 /dev/vdb /disk
mkdir -p /disk/upper /disk/work
mount -t overlay -o lowerdir=$lower,upperdir=/disk/upper,workdir=/disk/work overlay /root
[ -z "$slot" ] || mount -t ext4 /dev/vdc1 /root/boot
mount --move /proc /root/proc
mount --move /sys /root/sys
mount --move /dev /root/dev
exec switch_root /root "${init:-/sbin/init}"
