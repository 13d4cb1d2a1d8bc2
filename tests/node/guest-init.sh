#!/bin/busybox sh
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
#
# The init of the Linux test guest. On the serial line it takes
#   load | unload       the balloon driver        -> DRV loaded | unloaded
#   mem                 a few lines of meminfo    -> MEM ... in kB
#   eat N | free        N MiB in a tmpfs          -> ATE N | FREED, then MEM
#   reboot | poweroff                             -> REBOOTING | nothing
#   sh COMMAND          in this very shell        -> its output, RC=status
# and from the kernel's command line the word
#   noballoon           does not load the balloon driver

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo icrnl
mount -t tmpfs -o size=90% tmpfs /tmp

module() {
    # A kernel may have it built in; then the image has no file for it.
    [ ! -e "/mod/$1.ko" ] || insmod "/mod/$1.ko"
}

mem() {
    awk '/^(MemTotal|MemFree|MemAvailable|Cached):/ { s = s " " $1 $2 }
         END { print "MEM" s }' /proc/meminfo
}

for name in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev \
        virtio_pci; do
    module $name
done
case " $(cat /proc/cmdline) " in
    *" noballoon "*) ;;
    *) module virtio_balloon && echo "DRV loaded";;
esac
echo GUEST-READY
while read -r verb rest; do
    case "$verb" in
        load) module virtio_balloon && echo "DRV loaded";;
        unload) rmmod virtio_balloon && echo "DRV unloaded";;
        mem) mem;;
        eat) dd if=/dev/zero of=/tmp/eat bs=1M count="$rest" 2>/dev/null
             echo "ATE $rest"; mem;;
        free) rm -f /tmp/eat; echo FREED; mem;;
        reboot) echo REBOOTING; reboot -f;;
        poweroff) poweroff -f;;
        sh) eval "$rest"; echo "RC=$?";;
        *) echo "?? $verb";;
    esac
done
