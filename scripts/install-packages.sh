#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing. No service that a package brings is
# started. Needs root (or sudo).
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)
  [[ $status == 'install ok installed' ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  as_root=(sudo)
fi

# Debian's way to keep packages from starting their services: 101 is "forbidden by policy".
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

echo "Installing ${missing[*]}"
log=$(mktemp)
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --assume-yes "$@" >"$log" 2>&1 </dev/null
}
if ! { install update && install install --no-install-recommends "${missing[@]}"; }; then
  cat "$log" >&2
  exit 1
fi
rm -f "$log"
