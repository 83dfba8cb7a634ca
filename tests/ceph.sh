#!/usr/bin/env bash
# Starts a small Ceph cluster of this machine's own, with its S3 server, the RADOS Gateway; runs a command with
# MEMO_TEST_S3_ENDPOINT and credentials set; and ends all of it. Needs Debian's packages, which it installs where it
# may: ceph-mon ceph-osd ceph-mgr radosgw ceph-common. Everything it writes is in one folder, which it removes.
set -euo pipefail

packages="ceph-mon ceph-osd ceph-mgr radosgw ceph-common"
needed="ceph-mon ceph-osd ceph-mgr radosgw radosgw-admin ceph ceph-authtool monmaptool"
missing=
for program in $needed; do command -v "$program" >/dev/null || missing="$missing $program"; done
if [ -n "$missing" ]; then
  echo "Not on this machine:$missing. Installing Debian's $packages ..."
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The S3 suite did not run against Ceph: it needs $packages from Debian (or Ubuntu), and only root can" >&2
    echo "install them: sudo apt-get install --no-install-recommends $packages" >&2
    exit 1
  fi
  log="$(mktemp)"
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "The S3 suite did not run against Ceph: apt-get could not install $packages (the whole log: $log)" >&2
    exit 1
  fi
  rm -f "$log"
fi

folder="$(mktemp -d "${TMPDIR:-/tmp}/memo-ceph-XXXXXX")"
gateway=
finish() {
  code=$?
  [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
  for file in "$folder"/run/*.pid; do
    [ -e "$file" ] && kill "$(cat "$file")" 2>/dev/null || true
  done
  [ "$code" = 0 ] || [ "${started:-}" = yes ] || tail -n 5 "$folder"/log/*.log "$folder"/log/*.out >&2 2>/dev/null || true
  sleep 1
  rm -rf "$folder"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mon_port="$(free_port)" port="$(free_port)"
fsid="$(cat /proc/sys/kernel/random/uuid)" osd="$(cat /proc/sys/kernel/random/uuid)"
mkdir -p "$folder"/run "$folder"/log "$folder"/mon "$folder"/osd "$folder"/mgr "$folder"/rgw
cat >"$folder/ceph.conf" <<EOF
[global]
fsid = $fsid
mon host = [v1:127.0.0.1:$mon_port]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block create = true
bluestore block size = 3221225472
mon allow pool size one = true
mon max pg per osd = 1000
run dir = $folder/run
log file = $folder/log/\$name.log
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
keyring = $folder/keyring
crash dir = $folder/log
[mon]
mon data = $folder/mon
[mgr]
mgr data = $folder/mgr
[osd]
osd data = $folder/osd
[client.rgw.a]
rgw data = $folder/rgw
rgw frontends = beast endpoint=127.0.0.1:$port
rgw thread pool size = 64
EOF
in_cluster() { program="$1"; shift; "$program" -c "$folder/ceph.conf" "$@" >>"$folder/log/$program.out" 2>&1; }

ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
monmaptool --create --addv a "[v1:127.0.0.1:$mon_port]" --fsid "$fsid" "$folder/monmap" >/dev/null
in_cluster ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
in_cluster ceph-mon -i a
in_cluster ceph-mgr -i a
in_cluster ceph osd new "$osd"
in_cluster ceph-osd -i 0 --mkfs --osd-uuid "$osd" --fsid "$fsid"
in_cluster ceph-osd -i 0 --fsid "$fsid" || { sleep 2; in_cluster ceph-osd -i 0 --fsid "$fsid"; }
radosgw -c "$folder/ceph.conf" -n client.rgw.a -f >"$folder/log/radosgw.out" 2>&1 &
gateway=$!
for _ in $(seq 120); do
  curl --silent --output /dev/null "http://127.0.0.1:$port" && break
  kill -0 "$gateway" 2>/dev/null || { echo "Ceph's RADOS Gateway did not start" >&2; exit 1; }
  sleep 0.5
done
in_cluster radosgw-admin user create --uid=memo --display-name=memo --access-key=memo-tests --secret=memo-tests-secret
echo "Ceph $(radosgw --version | cut -d ' ' -f 3): S3 at http://127.0.0.1:$port"

started=yes
export MEMO_TEST_S3_ENDPOINT="http://127.0.0.1:$port"
export AWS_ACCESS_KEY_ID=memo-tests AWS_SECRET_ACCESS_KEY=memo-tests-secret
"$@"
